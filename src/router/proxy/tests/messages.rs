//! Where a message ends: old clients, pipelines, answers without a body, answers that come early, and trailers.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

/// Answers with the status that the path names, and a body where there may be one.
async fn statuses() -> std::net::SocketAddr {
    backend(|request| async move {
        let code: u16 = request.uri().path()[1..].parse().unwrap_or(200);
        let may_have_body = !matches!(code, 204 | 304);
        let mut response = Response::new(Full::new(Bytes::from(if may_have_body { "body" } else { "" })));
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    })
    .await
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_an_answer_that_ends_with_the_connection() {
    let nodes = mesh(vec![vec![], vec![service("echo", echo().await)]]).await;
    for node in &nodes {
        let answer = raw(node.ingress, "GET /api/service/echo/x HTTP/1.0\r\nhost: here\r\n\r\n").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&answer, "transfer-encoding"), None, "{answer}");
        assert!(body(&answer).starts_with("GET /x"), "{answer}");
    }
}

#[tokio::test]
async fn answers_without_a_body_end_where_they_should_in_a_pipeline() {
    let nodes = mesh(vec![vec![], vec![service("s", statuses().await)]]).await;
    for node in &nodes {
        let line = |method: &str, path: &str| {
            format!("{method} /api/service/s/{path} HTTP/1.1\r\nhost: here\r\n\r\n")
        };
        let last = "GET /api/service/s/201 HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        let requests = [
            line("HEAD", "200"),
            line("GET", "204"),
            line("GET", "304"),
            line("GET", "202"),
            last.to_owned(),
        ];
        let answers = raw(node.ingress, requests.concat()).await;
        let found: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).collect();
        let statuses: Vec<&str> = found.iter().map(|answer| &answer[..3]).collect();
        assert_eq!(statuses, ["200", "204", "304", "202", "201"], "{answers}");
        let bodies: Vec<&str> = found.iter().map(|answer| body(answer)).collect();
        assert_eq!(bodies, ["", "", "", "body", "body"], "{answers}");
        assert_eq!(header(found[0], "content-length"), Some("4"), "{answers}");
        assert_eq!(header(found[1], "content-length"), None, "{answers}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_end_of_the_request_reaches_its_client() {
    let early = canned("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await;
    let nodes = mesh(vec![vec![], vec![service("s", early)]]).await;
    for node in &nodes {
        let mut client = TcpStream::connect(node.ingress).await.unwrap();
        let head = "POST /api/service/s/ HTTP/1.1\r\nhost: here\r\ncontent-length: 100000000\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&[0; 1000]).await.unwrap();
        let mut answer = Vec::new();
        let read = async {
            while !answer.ends_with(b"no") && client.read_buf(&mut answer).await.unwrap_or(0) > 0 {}
        };
        tokio::time::timeout(SOON, read).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!((status(&answer), body(&answer)), (403, "no"), "{answer}");
        // The rest of the request is not taken for another one.
        let _ = client.write_all(b"GET /api/service/s/ HTTP/1.1\r\nhost: here\r\n\r\n").await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(SOON, client.read_to_end(&mut rest)).await.expect("it stays open");
        assert_eq!(rest, b"", "{:?}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test]
async fn trailers_pass_over_http_1_1_both_ways() {
    let echoing = canned(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let nodes = mesh(vec![vec![], vec![service("s", echoing)]]).await;
    for node in &nodes {
        let asked = ask(node.ingress, "GET /api/service/s/", "te: trailers\r\n", "").await;
        assert!(asked.contains("2\r\nok\r\n") && asked.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{asked}");
    }
}

#[tokio::test]
async fn a_connection_that_rested_serves_its_next_request() {
    let nodes = mesh(vec![vec![service("echo", echo().await)]]).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    for turn in 0..3 {
        // Longer than a connection stays awake, and once in the middle of a head.
        let request = format!("GET /api/service/echo/{turn} HTTP/1.1\r\nhost: here\r\n\r\n");
        let (first, second) = request.split_at(if turn == 1 { 20 } else { 0 });
        client.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        client.write_all(second.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let wanted = format!("GET /{turn}");
        let read = async {
            while !String::from_utf8_lossy(&answer).contains(&wanted) {
                assert!(
                    client.read_buf(&mut answer).await.unwrap() > 0,
                    "{:?}",
                    String::from_utf8_lossy(&answer)
                );
            }
        };
        tokio::time::timeout(SOON, read).await.unwrap();
        // All of the answer, which ends with an empty body.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = client.try_read(&mut [0; 4096]);
    }
}
