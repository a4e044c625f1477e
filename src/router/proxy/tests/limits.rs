//! Clients that would use up what others need: too slow, too many at once, or too much of what costs them nothing.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

/// Longer than any of the limits here.
const WITHIN: Duration = Duration::from_secs(20);

/// Sends a byte a second after `head`, until the connection ends; what came meanwhile.
async fn trickle(node: &Node, head: &str, byte: &[u8]) -> String {
    let (mut read, mut write) = TcpStream::connect(node.ingress).await.unwrap().into_split();
    write.write_all(head.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let trickling = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if write.write_all(byte).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let reading = async {
        let mut piece = [0; 1024];
        while let Ok(n @ 1..) = read.read(&mut piece).await {
            got.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(WITHIN, async {
        tokio::select! { () = trickling => {}, () = reading => {} }
    })
    .await
    .unwrap();
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn who_sends_a_head_or_a_body_too_slowly_gets_408() {
    let nodes = mesh(vec![vec![service("echo", echo().await)]]).await;
    let node = &nodes[0];
    let put = "PUT /api/service/echo/ HTTP/1.1\r\nhost: here\r\n";
    let heads = [
        "GET /api/service/echo/ HTTP/1.1\r\nhost: here\r\nx-slow: ".to_owned(),
        format!("GET /health HTTP/1.1\r\nhost: here\r\n\r\n{put}"),
        format!("{put}content-length: 1000\r\n\r\n"),
        format!("{put}content-length: 100000\r\n\r\n"),
    ];
    let slow = heads.iter().map(|head| trickle(node, head, b"x"));
    let chunked = format!("POST {}transfer-encoding: chunked\r\n\r\n", &put[4..]);
    let (answers, chunked, http2) = tokio::join!(
        futures_util::future::join_all(slow),
        trickle(node, &chunked, b"1\r\nx\r\n"),
        trickle_http2(node)
    );
    for (answer, head) in answers.iter().chain([&chunked]).zip(heads.iter().chain([&chunked])) {
        let last = &answer[answer.rfind("HTTP/1.1").unwrap_or(0)..];
        assert_eq!(
            (status(last), header(last, "x-mesh-error")),
            (408, Some("timeout")),
            "{head:?}: {answer:?}"
        );
    }
    assert_eq!(http2, 408);
    eventually("nothing is under way", || nodes[0].proxy.in_flight() == 0).await;
}

async fn http2(node: &Node) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(node.ingress).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    (sender.ready().await.unwrap(), tokio::spawn(connection))
}

async fn trickle_http2(node: &Node) -> u16 {
    let (mut sender, _) = http2(node).await;
    let request = Request::post("http://echo.mesh/").body(()).unwrap();
    let (answer, mut body) = sender.send_request(request, false).unwrap();
    let trickling = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = body.send_data(Bytes::from_static(b"x"), false);
        }
    };
    let answered = async {
        tokio::select! { () = trickling => 0, answer = answer => answer.unwrap().status().as_u16() }
    };
    tokio::time::timeout(WITHIN, answered).await.unwrap()
}

#[tokio::test]
async fn who_gives_up_requests_without_end_is_cut_off() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nodes =
        mesh(vec![vec![service("s", silent.local_addr().unwrap()), service("echo", echo().await)]]).await;
    let (sender, connection) = http2(&nodes[0]).await;
    let mut given_up = 0;
    let flooding = async {
        while let Ok(mut ready) = sender.clone().ready().await {
            let request = Request::get("http://s.mesh/").body(()).unwrap();
            let Ok((answer, _)) = ready.send_request(request, true) else { break };
            tokio::task::yield_now().await;
            drop(answer);
            given_up += 1;
            assert!(given_up < 100_000, "nobody minds");
        }
    };
    tokio::time::timeout(WITHIN, flooding).await.unwrap();
    let _ = tokio::time::timeout(WITHIN, connection).await.expect("it goes on");
    assert!(given_up >= 20, "cut off after {given_up}");
    assert_eq!(status(&ask(nodes[0].ingress, "GET /api/service/echo/", "", "").await), 200);
    eventually("nothing is under way", || nodes[0].proxy.in_flight() == 0).await;
}

#[tokio::test]
async fn who_gives_up_a_request_now_and_then_is_not() {
    let nodes = mesh(vec![vec![service("echo", echo().await)]]).await;
    let (mut sender, _connection) = http2(&nodes[0]).await;
    for turn in 0..400 {
        sender = sender.ready().await.unwrap();
        let request = Request::get("http://echo.mesh/").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        if turn % 4 > 0 {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Sends frames over a connection of their own, and reads nothing. How many bytes were taken, until they were not.
async fn flood(node: &Node, first: Vec<u8>, again: Vec<u8>) -> usize {
    let mut stream = TcpStream::connect(node.ingress).await.unwrap();
    let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), first].concat();
    stream.write_all(&begin).await.unwrap();
    let many = again.repeat((1 << 16) / again.len() + 1);
    let mut taken = 0;
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&many)).await {
        taken += many.len();
        assert!(taken < 256 << 20, "there is no end to it");
    }
    taken
}

#[tokio::test]
async fn floods_of_frames_that_cost_nothing_are_not_taken() {
    let nodes = mesh(vec![vec![service("echo", echo().await)]]).await;
    // A literal header field without indexing (RFC 7541, 6.2.2): x: and 8000 times y.
    let field = [&[0, 1, b'x', 0x7f, 0xc1, 0x3d][..], &[b'y'; 8000]].concat();
    for (what, first, again) in [
        ("CONTINUATION", frame(1, 0, 1, &field), frame(9, 0, 1, &field)),
        ("empty CONTINUATION", frame(1, 0, 1, &[]), frame(9, 0, 1, &[])),
        ("PING", vec![], frame(6, 0, 0, &[0; 8])),
        ("SETTINGS", vec![], frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])),
    ] {
        let (taken, answer) = tokio::join!(
            flood(&nodes[0], first, again),
            ask(nodes[0].ingress, "GET /api/service/echo/", "", "")
        );
        assert!(taken < 32 << 20, "{what}: {taken} bytes were taken");
        assert_eq!(status(&answer), 200, "{what}");
    }
}
