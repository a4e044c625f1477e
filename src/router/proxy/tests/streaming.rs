//! Bodies flow while they come, both ways, and stop when nobody wants them any more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::harness::*;
use crate::manifest::Protocol;

type Piece = Result<Frame<Bytes>, Infallible>;

/// Reads until `part` has come.
async fn read_until(stream: &mut TcpStream, part: &str) -> String {
    let mut got = Vec::new();
    let read = tokio::time::timeout(SOON, async {
        while !String::from_utf8_lossy(&got).contains(part) {
            assert!(stream.read_buf(&mut got).await.unwrap() > 0, "closed after {got:?}");
        }
    });
    read.await.unwrap_or_else(|_| panic!("no {part:?}"));
    String::from_utf8_lossy(&got).into_owned()
}

/// A service whose one answer is what the test sends, and which tells when its client has gone.
async fn scripted() -> (SocketAddr, mpsc::Sender<Vec<u8>>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (script, mut lines) = mpsc::channel::<Vec<u8>>(4);
    let gone = Arc::new(AtomicBool::new(false));
    let told = gone.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        let reading = async {
            let mut buffer = [0; 4096];
            while read.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            told.store(true, Ordering::SeqCst);
        };
        let writing = async {
            while let Some(line) = lines.recv().await {
                let _ = write.write_all(&line).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! { () = reading => {}, () = writing => {} }
    });
    (addr, script, gone)
}

#[tokio::test]
async fn an_answer_arrives_piece_by_piece_before_it_ends() {
    for entry in [0, 1] {
        let (backend, script, _) = scripted().await;
        let nodes = mesh(vec![vec![], vec![service("sse", backend)]]).await;
        let mut client = TcpStream::connect(nodes[entry].ingress).await.unwrap();
        client.write_all(b"GET /api/service/sse/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        script
            .send(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                    .to_vec(),
            )
            .await
            .unwrap();
        let head = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(status(&head), 200, "{head}");
        for event in ["one", "two"] {
            script.send(format!("3\r\n{event}\r\n").into_bytes()).await.unwrap();
            read_until(&mut client, event).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_felt_by_the_service() {
    for entry in [0, 1] {
        for begun in [false, true] {
            let (backend, script, gone) = scripted().await;
            let nodes = mesh(vec![vec![], vec![service("llm", backend)]]).await;
            let mut client = TcpStream::connect(nodes[entry].ingress).await.unwrap();
            client
                .write_all(b"POST /api/service/llm/ HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\nhi")
                .await
                .unwrap();
            if begun {
                script
                    .send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n".to_vec())
                    .await
                    .unwrap();
                read_until(&mut client, "one").await;
            } else {
                eventually("under way", || nodes[1].proxy.in_flight() == 1).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(!gone.load(Ordering::SeqCst));
            let left = tokio::time::Instant::now();
            drop(client);
            eventually("the service felt it", || gone.load(Ordering::SeqCst)).await;
            assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
            eventually("nothing is under way", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
        }
    }
}

#[tokio::test]
async fn a_body_is_not_asked_for_before_the_service_can_take_it() {
    let nodes = mesh(vec![vec![], vec![service("upload", nobody().await)]]).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    let head = "POST /api/service/upload/ HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "\r\n\r\n").await;
    assert_eq!(status(&answer), 503, "no 100 may come first: {answer}");

    let nodes = mesh(vec![vec![], vec![service("echo", echo().await)]]).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    client.write_all(head.replace("upload", "echo").as_bytes()).await.unwrap();
    let interim = read_until(&mut client, "\r\n\r\n").await;
    assert_eq!((status(&interim), interim.matches("HTTP/1.1").count()), (100, 1), "{interim}");
    client.write_all(b"some body").await.unwrap();
    let answer = read_until(&mut client, "some body").await;
    assert_eq!(status(&answer), 200, "{answer}");
}

/// A slow reader holds back the sender, through both nodes, instead of filling memory.
#[tokio::test]
async fn a_service_that_does_not_read_holds_back_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let held: tokio::task::JoinHandle<TcpStream> =
        tokio::spawn(async move { listener.accept().await.unwrap().0 });
    let nodes = mesh(vec![vec![], vec![service("slow", addr)]]).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    let head = "POST /api/service/slow/ HTTP/1.1\r\nhost: here\r\ncontent-length: 1073741824\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![0; 1 << 20];
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_millis(500), client.write_all(&piece)).await.is_ok() {
        taken += 1;
        assert!(taken < 64, "64 MiB were taken for a service that reads nothing");
    }
    drop(held.await.unwrap());
}

/// A service that speaks HTTP/2, and echoes bodies and trailers.
async fn h2c_echo() -> SocketAddr {
    counted_h2c_echo(Arc::default()).await
}

/// The same, which counts the connections that it accepts.
async fn counted_h2c_echo(connections: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(|request: Request<Incoming>| async {
                let mut response = Response::new(request.into_body());
                response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    addr
}

#[tokio::test]
async fn a_burst_at_an_h2c_service_shares_one_connection() {
    let connections = Arc::<AtomicUsize>::default();
    let mut config = service("rpc", counted_h2c_echo(connections.clone()).await);
    config.protocol = Protocol::H2c;
    let nodes = mesh(vec![vec![config]]).await;
    let ingress = nodes[0].ingress;
    let burst = (0..50).map(|_| ask(ingress, "POST /api/service/rpc/", "", "x"));
    for answer in futures_util::future::join_all(burst).await {
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn grpc_streams_both_ways_with_trailers() {
    let mut config = service("rpc", h2c_echo().await);
    config.protocol = Protocol::H2c;
    let nodes = mesh(vec![vec![], vec![config]]).await;
    for node in &nodes {
        let stream = TcpStream::connect(node.ingress).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (pieces, receiver) = mpsc::channel::<Piece>(1);
        let request = Request::post("http://rpc.mesh/Rpc/Talk")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(ReceiverStream::new(receiver)))
            .unwrap();
        let answering = tokio::spawn(async move { sender.send_request(request).await });
        pieces.send(Ok(Frame::data(Bytes::from_static(b"one")))).await.unwrap();
        let mut response = answering.await.unwrap().unwrap();
        assert_eq!(response.status(), 200, "{response:?}");
        for say in ["two", "three"] {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert!(frame.is_data());
            pieces.send(Ok(Frame::data(Bytes::from_static(say.as_bytes())))).await.unwrap();
        }
        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        pieces.send(Ok(Frame::trailers(trailers))).await.unwrap();
        let rest = response.into_body().collect().await.unwrap();
        assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    }
}

#[tokio::test]
async fn connections_to_a_service_are_kept_and_shared() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(|request: Request<Incoming>| async {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new("ok".to_owned()))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let nodes = mesh(vec![vec![], vec![service("s", addr)]]).await;
    for _ in 0..20 {
        let answer = ask(nodes[0].ingress, "POST /api/service/s/", "", "x").await;
        assert_eq!(body(&answer), "ok", "{answer}");
    }
    assert!(accepted.load(Ordering::SeqCst) < 10, "{accepted:?} connections for 20 requests");
}

#[tokio::test]
async fn a_stopped_listener_finishes_what_it_has() {
    let (backend, script, _) = scripted().await;
    let nodes = mesh(vec![vec![service("s", backend)]]).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    client.write_all(b"GET /api/service/s/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    eventually("under way", || nodes[0].proxy.in_flight() == 1).await;
    nodes[0].stop.cancel();
    script.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone".to_vec()).await.unwrap();
    let answer = read_until(&mut client, "done").await;
    assert_eq!(status(&answer), 200);
    tokio::time::timeout(SOON, nodes[0].proxy.drained()).await.unwrap();
}

#[tokio::test]
async fn many_requests_at_once_do_not_get_each_others_answers() {
    let echo = echo().await;
    let nodes = mesh(vec![vec![], vec![service("echo", echo)], vec![service("echo", echo)]]).await;
    let ingress = nodes[0].ingress;
    let clients = (0..32).map(|client| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(ingress).await.unwrap();
            for turn in 0..10 {
                let method = ["POST", "PUT"][turn % 2];
                let said = format!("<{client}-{turn}>");
                let request = format!(
                    "{method} /api/service/echo/ HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{said}",
                    said.len()
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let answer = read_until(&mut stream, ">").await;
                assert_eq!(status(&answer), 200, "{answer}");
                assert!(answer.ends_with(&said), "{said} got {answer}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    eventually("nothing is under way", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
}
