//! Clients that leave while the edge asks for what others need too.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::fake::{FakeNode, Serving, edge, edge_of_api, summary};
use crate::router::proxy::tests::harness::{ask, eventually, status};

/// One of whom the edge asks something, and the connection on which it did so for a client that left. Another client
/// waits by now.
async fn asked_for_one_who_left(
    listener: &TcpListener,
    serving: &Serving,
) -> (TcpStream, JoinHandle<String>) {
    let mut client = TcpStream::connect(serving.addr).await.unwrap();
    client.write_all(b"GET /api/service/rag/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    let (mut question, _) = listener.accept().await.unwrap();
    assert!(question.read_u8().await.is_ok());
    drop(client);
    let in_flight = || serving.edge.drain.in_flight();
    eventually("the client has left", || in_flight() == 0).await;
    let addr = serving.addr;
    let other = tokio::spawn(async move { ask(addr, "GET /api/service/rag/", "", "").await });
    eventually("another one waits", || in_flight() == 1).await;
    (question, other)
}

async fn answer(question: &mut TcpStream, node: SocketAddr) {
    let body = summary([node.to_string()].into_iter());
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ndate: Sun, 22 Nov 2026 06:00:00 GMT\r\n";
    let answer = format!("{head}content-length: {length}\r\n\r\n{body}");
    question.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn the_store_is_read_once_although_the_client_that_began_it_leaves() {
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = FakeNode::start(&[]).await;
    let serving = edge_of_api(api.local_addr().unwrap()).await;
    let (mut question, other) = asked_for_one_who_left(&api, &serving).await;
    answer(&mut question, node.addr).await;
    assert_eq!(status(&other.await.unwrap()), 200);
}

#[tokio::test]
async fn a_discovery_goes_on_although_the_client_that_began_it_leaves() {
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = edge(&[slow.local_addr().unwrap()]).await;
    let (mut question, other) = asked_for_one_who_left(&slow, &serving).await;
    answer(&mut question, slow.local_addr().unwrap()).await;
    let (mut request, _) = slow.accept().await.unwrap();
    let mut line = [0; 25];
    request.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"GET /api/service/rag/ HTT", "nobody is asked for a summary again");
    request.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(status(&other.await.unwrap()), 204);
}
