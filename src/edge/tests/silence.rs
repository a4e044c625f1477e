//! Nodes that are silent, and asked whether they are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fake::{edge, summary};
use crate::router::proxy::tests::harness::{backend, status};

#[tokio::test(start_paused = true)]
async fn a_node_is_asked_for_as_long_as_it_owes_an_answer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let node = backend(move |request| {
        let turn = if request.uri().path() == "/health" { count.fetch_add(1, Ordering::SeqCst) } else { 0 };
        async move {
            let body = match request.uri().path() {
                "/.mesh/summary" => {
                    summary([request.headers()["host"].to_str().unwrap().to_owned()].into_iter())
                }
                "/health" if turn < 40 => String::new(),
                _ => std::future::pending().await,
            };
            Response::new(Full::new(Bytes::from(body)))
        }
    })
    .await;
    let serving = edge(&[node]).await;
    let mut client = TcpStream::connect(serving.addr).await.unwrap();
    client
        .write_all(b"POST /api/service/rag/ HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let answered = client.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(3600), answered).await.unwrap().unwrap();
    assert_eq!((status(&answer), asked.load(Ordering::SeqCst)), (504, 41), "{answer}");
}
