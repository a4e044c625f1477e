//! What an edge does with nodes on real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::fake::{FakeNode, edge};
use crate::router::proxy::tests::harness::{SOON, ask, body, eventually, header, nobody, raw, status};

#[tokio::test]
async fn requests_are_signed_and_forwarded_over_kept_connections() {
    let node = FakeNode::start(&[]).await;
    let serving = edge(&[node.addr]).await;
    for turn in 0..3 {
        let target = format!("/api/service/rag/a%2Fb;c?d={turn}");
        let answer = ask(serving.addr, &format!("POST {target}"), "x-mesh-version: ^2\r\n", "text").await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (200, format!("POST {target} text").as_str()),
            "{answer}"
        );
        assert_eq!(header(&answer, "x-mesh-tries"), Some("1"));
    }
    assert_eq!(node.count("GET /.mesh/summary"), 1, "a live list is known from then on");
}

#[tokio::test]
async fn a_streamed_post_that_no_node_began_to_take_goes_to_the_next_one() {
    // Those that are dead are only in the live list, so nobody has found out yet.
    let dead = [nobody().await, nobody().await, nobody().await];
    let other = FakeNode::start(&dead).await;
    let serving = edge(&[other.addr]).await;
    assert_eq!(status(&ask(serving.addr, "GET /api/service/rag/", "", "").await), 200);
    let mut tries = 0;
    for _ in 0..6 {
        let request = "POST /api/service/rag/ HTTP/1.1\r\nhost: here\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
        let answer = raw(serving.addr, request).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(body(&answer).ends_with("POST /api/service/rag/ abcdef"), "{answer}");
        tries += header(&answer, "x-mesh-tries").and_then(|tries| tries.parse::<u32>().ok()).unwrap();
    }
    assert!(tries > 6, "a dead one was tried, too");
}

#[tokio::test]
async fn one_discovery_serves_all_requests_that_wait_for_it() {
    let node = FakeNode::start(&[]).await;
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = edge(&[node.addr, silent.local_addr().unwrap()]).await;
    let asked = (0..20).map(|_| ask(serving.addr, "GET /api/service/rag/", "", ""));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(node.count("GET /.mesh/summary"), 1);
}

#[tokio::test]
async fn many_silent_entries_do_not_hold_up_a_cold_start() {
    let mut silent = Vec::new();
    for _ in 0..31 {
        silent.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let node = FakeNode::start(&[]).await;
    let mut stored: Vec<_> = silent.iter().map(|silent| silent.local_addr().unwrap()).collect();
    stored.push(node.addr);
    let serving = edge(&stored).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(status(&ask(serving.addr, "POST /api/service/rag/", "", "x").await), 200);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(node.count("POST"), 1);
}

#[tokio::test]
async fn many_requests_that_wait_for_one_node_ask_it_once_whether_it_is_there() {
    let node = FakeNode::start(&[]).await;
    let serving = edge(&[node.addr]).await;
    let asked = (0..60).map(|_| ask(serving.addr, "POST /api/service/rag/slow/", "", "x"));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(status(&answer), 200, "{answer}");
    }
    let questions = node.count("GET /health");
    assert!((1..=3).contains(&questions), "{questions} questions");
}

#[tokio::test]
async fn while_it_drains_its_health_says_so_and_requests_finish() {
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = edge(&[slow.local_addr().unwrap()]).await;
    let asked = tokio::spawn(ask(serving.addr, "GET /api/service/rag/", "", ""));
    let (mut stream, _) = slow.accept().await.unwrap();
    assert!(stream.read_u8().await.is_ok());
    assert_eq!(status(&ask(serving.addr, "GET /health", "", "").await), 200);

    let edge = serving.edge.clone();
    let ending = tokio::spawn(async move { edge.end(SOON).await });
    let mut health = String::new();
    let mut seen = async || {
        health = ask(serving.addr, "GET /health", "", "").await;
        status(&health) == 503
    };
    while !seen().await {}
    assert_eq!(header(&health, "x-mesh-error"), Some("draining"), "{health}");
    eventually("the listener closes", || serving.edge.drain.closing.is_cancelled()).await;
    assert!(!ending.is_finished(), "a request is under way");
    drop((stream, slow));
    assert_eq!(status(&asked.await.unwrap()), 503);
    ending.await.unwrap();
    assert!(TcpStream::connect(serving.addr).await.is_err());
}

#[tokio::test]
async fn a_body_takes_room_only_for_what_has_come_and_is_streamed_when_none_is_left() {
    let node = FakeNode::start(&[]).await;
    let serving = edge(&[node.addr]).await;
    let kept = &serving.edge.kept;
    let put = async |length: u32| {
        let head = format!(
            "PUT /api/service/rag/ HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {length}\r\n\r\nhe"
        );
        let mut client = TcpStream::connect(serving.addr).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        client
    };
    let all = kept.available_permits();
    let announced = put(256 * 1024).await;
    eventually("two bytes have come", || kept.available_permits() < all).await;
    assert_eq!(kept.available_permits(), all - 2);
    drop(announced);
    eventually("the client has left", || kept.available_permits() == all).await;

    let _others = kept.clone().acquire_many_owned(u32::try_from(all - 3).unwrap()).await.unwrap();
    let mut client = put(5).await;
    eventually("two bytes have come", || kept.available_permits() == 1).await;
    client.write_all(b"llo").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(body(&answer), "PUT /api/service/rag/ hello", "{answer}");
    assert_eq!(kept.available_permits(), 3);
}

#[tokio::test]
async fn what_is_not_for_the_mesh_gets_no_further() {
    let node = FakeNode::start(&[]).await;
    let serving = edge(&[node.addr]).await;
    for (line, headers, expected, reason) in [
        ("GET /", "", 404, "not_found"),
        ("GET /.mesh/summary", "", 404, "not_found"),
        ("GET /api/admin/workers", "authorization: Bearer x\r\n", 404, "not_found"),
        ("GET /api/service/rag/", "x-mesh-worker: a\r\nx-mesh-worker: b\r\n", 400, "bad_request"),
        ("CONNECT here:1", "", 405, "method"),
    ] {
        let answer = ask(serving.addr, line, headers, "").await;
        assert_eq!(
            (status(&answer), header(&answer, "x-mesh-error")),
            (expected, Some(reason)),
            "{line}: {answer}"
        );
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"), "{line}: {answer}");
    }
    assert_eq!(node.count("GET /api"), 0);
    let mut stream = TcpStream::connect(serving.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 400, "and the connection is closed: {answer}");
}
