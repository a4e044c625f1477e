//! What becomes of a request when an instance fails, and what the caller is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};

use super::harness::*;
use crate::config::ServiceConfig;

/// A service that counts the requests whose bodies it has read, and answers with the body's length.
async fn counting() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let addr = backend(move |request| {
        let counter = counter.clone();
        async move {
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            counter.fetch_add(1, Ordering::SeqCst);
            Response::new(Full::new(Bytes::from(body.len().to_string())))
        }
    })
    .await;
    (addr, count)
}

/// Requests with a body of five bytes, all under way together, so that every instance gets some.
async fn at_once(count: usize, node: &Node, line: &'static str, headers: &'static str) -> Vec<String> {
    let ingress = node.ingress;
    let asking = (0..count).map(|_| tokio::spawn(ask(ingress, line, headers, "hello")));
    let mut answers = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        answers.push(asked.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn a_large_post_loses_nothing_when_instances_refuse_connections() {
    let (good, count) = counting().await;
    let large = "x".repeat(3 * 1024 * 1024);
    let nobody = nobody().await;
    // By their weight, those that refuse are as good as sure to be tried first.
    let refusing = || vec![ServiceConfig { weight: 10_000, ..service("upload", nobody) }];
    let mut nodes = mesh(vec![refusing(), refusing(), vec![service("upload", good)], vec![]]).await;
    for turn in 1..=6 {
        let answer = ask(nodes[3].ingress, "POST /api/service/upload/", "", &large).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(body(&answer), large.len().to_string());
        assert_eq!(count.load(Ordering::SeqCst), turn);
    }
    assert!(
        nodes[0].refused.try_recv().is_ok() || nodes[1].refused.try_recv().is_ok(),
        "nobody told the node"
    );
}

#[tokio::test]
async fn a_node_that_is_gone_costs_no_request() {
    let (good, count) = counting().await;
    let nodes = mesh(vec![vec![], vec![service("upload", good)], vec![service("upload", good)]]).await;
    for turn in 0..12 {
        if turn == 3 {
            nodes[2].stop.cancel();
        }
        let answer = ask(nodes[0].ingress, "POST /api/service/upload/", "", "hello").await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 12);
}

#[tokio::test]
async fn a_broken_answer_is_repeated_when_that_is_harmless_and_only_then() {
    let broken = canned("HTTP/1.1 200").await;
    for (line, headers) in
        [("PUT /api/service/s/", ""), ("POST /api/service/s/", "idempotency-key: \"8e03978e\"\r\n")]
    {
        let (good, count) = counting().await;
        let nodes = mesh(vec![vec![], vec![service("s", broken)], vec![service("s", good)]]).await;
        let answers = at_once(8, &nodes[0], line, headers).await;
        assert!(answers.iter().all(|answer| (status(answer), body(answer)) == (200, "5")), "{answers:?}");
        let repeated = answers.iter().filter(|answer| header(answer, "x-mesh-attempts") == Some("2")).count();
        assert!(repeated > 0, "{line}: the broken instance was never tried");
        assert_eq!(count.load(Ordering::SeqCst), 8);
    }

    let nodes = mesh(vec![vec![], vec![service("s", broken)]]).await;
    let answer = ask(nodes[0].ingress, "POST /api/service/s/", "", "hello").await;
    assert_eq!((status(&answer), header(&answer, "x-mesh-error")), (502, Some("broken")), "{answer}");
    assert_eq!(header(&answer, "x-mesh-retry"), None, "it may have been started");
}

#[tokio::test]
async fn a_body_for_which_there_is_no_room_is_sent_once_and_not_kept() {
    let (good, count) = counting().await;
    let nodes =
        mesh(vec![vec![], vec![service("s", good)], vec![service("odd", canned("HTTP/1.1 200").await)]])
            .await;
    let full = nodes[0].proxy.shared.replays.clone();
    let taken = u32::try_from(full.available_permits()).unwrap();
    let _room = full.acquire_many_owned(taken).await.unwrap();
    let answer = ask(nodes[0].ingress, "PUT /api/service/s/", "", "hello").await;
    assert_eq!((status(&answer), body(&answer)), (200, "5"), "{answer}");
    let answer = ask(nodes[0].ingress, "PUT /api/service/odd/", "", "hello").await;
    assert_eq!((status(&answer), header(&answer, "x-mesh-retry")), (502, None), "{answer}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_started_post_is_never_repeated() {
    let (good, count) = counting().await;
    let broken = canned("").await;
    let nodes = mesh(vec![vec![], vec![service("s", broken)], vec![service("s", good)]]).await;
    let answers = at_once(8, &nodes[0], "POST /api/service/s/", "").await;
    let of = |code| answers.iter().filter(|answer| status(answer) == code).count();
    let (served, failed) = (of(200), of(502));
    assert_eq!(served + failed, 8, "{answers:?}");
    assert!(failed > 0, "the broken instance was never tried");
    assert_eq!(count.load(Ordering::SeqCst), served);
}

#[tokio::test]
async fn a_503_says_what_there_is_and_why_it_did_not_serve() {
    let echo = echo().await;
    let dead = nobody().await;
    let nodes = mesh(vec![vec![service("echo", echo)], vec![service("rag", dead)]]).await;
    for node in &nodes {
        let answer = ask(node.ingress, "POST /api/service/rag/query", "", "hello").await;
        assert_eq!(status(&answer), 503, "{answer}");
        assert!(header(&answer, "retry-after").is_some_and(|after| after.parse::<u64>().is_ok()), "{answer}");
        assert_eq!(header(&answer, "x-mesh-error"), Some("connect_failed"));
        assert_eq!(header(&answer, "x-mesh-retry"), Some("1"));
        let told: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(told["service"], "rag");
        assert!(told["available_services"].as_array().unwrap().iter().any(|name| name == "echo"), "{told}");
        assert_eq!(told["instances"][0]["worker_id"], nodes[1].id.to_string());
        assert_eq!(told["instances"][0]["reason"], "connect_failed");
        assert!(told["suggestion"].is_string() && told["error"].is_string(), "{told}");
        assert!(told["retry_after"].is_u64(), "{told}");
    }
    let unknown = ask(nodes[0].ingress, "GET /api/service/nowhere/", "", "").await;
    assert_eq!((status(&unknown), header(&unknown, "x-mesh-error")), (503, Some("no_route")), "{unknown}");
}

#[tokio::test]
async fn grpc_gets_its_own_kind_of_failure() {
    let nodes = mesh(vec![vec![]]).await;
    let kind = "content-type: application/grpc\r\n";
    let answer = ask(nodes[0].ingress, "POST /api/service/rag/Rag/Query", kind, "x").await;
    assert_eq!((status(&answer), header(&answer, "grpc-status")), (200, Some("14")), "{answer}");
    assert!(header(&answer, "grpc-message").is_some_and(|message| message.contains("rag")), "{answer}");
    let echo = echo().await;
    let nodes = mesh(vec![vec![service("rag", echo)]]).await;
    let answer = ask(nodes[0].ingress, "POST /api/service/rag/Rag/Query", kind, "x").await;
    assert_eq!((status(&answer), header(&answer, "grpc-status")), (200, Some("12")), "{answer}");
}

#[tokio::test]
async fn a_slow_service_is_a_504() {
    let slow = backend(|_| async {
        tokio::time::sleep(SOON * 2).await;
        Response::new(Full::default())
    })
    .await;
    let mut config = service("slow", slow);
    config.timeouts.first_byte = Duration::from_millis(100);
    let mut limited = service("limited", slow);
    limited.timeouts.total = Duration::from_millis(100);
    let nodes = mesh(vec![vec![], vec![config, limited]]).await;
    for node in &nodes {
        for name in ["slow", "limited"] {
            let answer = ask(node.ingress, &format!("POST /api/service/{name}/"), "", "x").await;
            assert_eq!(
                (status(&answer), header(&answer, "x-mesh-error")),
                (504, Some("timeout")),
                "{answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_full_instance_is_passed_over_and_then_named() {
    let (entered, mut arrivals) = tokio::sync::mpsc::channel(8);
    let hold = Arc::new(tokio::sync::Notify::new());
    let held = hold.clone();
    let busy = backend(move |_| {
        let (entered, held) = (entered.clone(), held.clone());
        async move {
            entered.send(()).await.unwrap();
            held.notified().await;
            Response::new(Full::default())
        }
    })
    .await;
    let mut config = service("gpu", busy);
    config.max_in_flight = 1;
    let nodes = mesh(vec![vec![], vec![config]]).await;
    let ingress = nodes[0].ingress;
    let first = tokio::spawn(async move { ask(ingress, "POST /api/service/gpu/", "", "x").await });
    arrivals.recv().await.unwrap();
    // Entered at the other node, which knows of the first request only what the exit counts.
    let second = ask(nodes[1].ingress, "POST /api/service/gpu/", "", "x").await;
    assert_eq!((status(&second), header(&second, "x-mesh-error")), (503, Some("saturated")), "{second}");
    hold.notify_one();
    assert_eq!(status(&first.await.unwrap()), 200);
}

#[tokio::test]
async fn a_draining_exit_takes_nothing_new() {
    let echo = echo().await;
    let nodes = mesh(vec![vec![], vec![service("echo", echo)], vec![service("echo", echo)]]).await;
    nodes[2].views.send_modify(|view| Arc::make_mut(view).draining = true);
    for _ in 0..6 {
        let answer = ask(nodes[0].ingress, "POST /api/service/echo/", "", "x").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&answer, "x-mesh-worker"), Some(nodes[1].id.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_service_closed_costs_no_request() {
    let echo = canned("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let nodes = mesh(vec![vec![service("s", echo)]]).await;
    for line in ["GET /api/service/s/", "POST /api/service/s/"].into_iter().cycle().take(60) {
        let answer = ask(nodes[0].ingress, line, "", "").await;
        assert_eq!((status(&answer), body(&answer)), (200, "ok"), "{answer}");
    }
}

/// A listener that passes connections on to an address which is known only later.
async fn relay() -> (std::net::SocketAddr, tokio::sync::oneshot::Sender<std::net::SocketAddr>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (told, target) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let target: std::net::SocketAddr = target.await.unwrap();
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (addr, told)
}

#[tokio::test]
async fn a_request_that_goes_round_in_circles_ends_with_508() {
    let (addr, target) = relay().await;
    let mut config = service("loop", addr);
    config.url = format!("http://{addr}/api/service/loop").parse().unwrap();
    let nodes = mesh(vec![vec![config], vec![]]).await;
    target.send(nodes[1].ingress).unwrap();
    let answer = ask(nodes[1].ingress, "POST /api/service/loop/", "", "x").await;
    assert_eq!(status(&answer), 508, "{answer}");
    assert!(body(&answer).contains("came back"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_stalls_is_cut_off_and_not_faked_whole() {
    let stalls = backend_that_stalls().await;
    let mut config = service("stalls", stalls);
    config.timeouts.idle = Duration::from_millis(100);
    let nodes = mesh(vec![vec![], vec![config]]).await;
    for node in &nodes {
        let answer = ask(node.ingress, "GET /api/service/stalls/", "", "").await;
        assert_eq!((status(&answer), header(&answer, "content-length")), (200, Some("10")), "{answer}");
        assert_eq!(body(&answer), "half.", "the connection ends where the answer did");
    }
}

/// Says that ten bytes come, sends five, and then nothing.
async fn backend_that_stalls() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let said = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.";
            tokio::io::AsyncWriteExt::write_all(&mut stream, said).await.unwrap();
            kept.push(stream);
        }
    });
    addr
}

#[tokio::test]
async fn the_errors_of_an_instance_are_counted_as_its_own_and_go_with_its_worker() {
    let broken = canned("no HTTP at all\r\n\r\n").await;
    let nodes = mesh(vec![vec![], vec![service("odd", broken)]]).await;
    for _ in 0..3 {
        let answer = ask(nodes[0].ingress, "POST /api/service/odd/", "", "x").await;
        assert_eq!(status(&answer), 502, "{answer}");
    }
    let metrics = nodes[0].proxy.shared.metrics.clone();
    let of_instance = format!("service=\"odd\",worker=\"{}\"", nodes[1].id);
    let errors = format!("meshnode_request_errors_total{{{of_instance}}} 3");
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|line| line == errors), "no {errors} in:\n{text}");

    nodes[0].views.send_modify(|view| Arc::make_mut(view).members.clear());
    metrics.observe_view(&nodes[0].views.borrow());
    let text = metrics.encode().unwrap();
    assert!(!text.contains(&of_instance), "{text}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let nodes = mesh_with(vec![vec![]], |config| config.max_connections = 1).await;
    let first = tokio::net::TcpStream::connect(nodes[0].ingress).await.unwrap();
    let ingress = nodes[0].ingress;
    let second = tokio::spawn(async move { ask(ingress, "GET /health", "", "").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(status(&second.await.unwrap()), 200);
}
