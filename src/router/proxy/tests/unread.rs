//! Clients that do not take their answers do not keep what others need.

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;
use crate::config::ServiceConfig;
use crate::manifest::Timeouts;

/// More than all buffers between a service and its client.
const LARGE: usize = 64 << 20;

const SHORT: Duration = Duration::from_millis(500);

/// A service with two places, whose answers to `/large` fit into no buffer.
async fn generous(timeouts: Timeouts) -> ServiceConfig {
    let large = Bytes::from(vec![0; LARGE]);
    let addr = backend(move |request| {
        let is_large = request.uri().path() == "/large";
        let body = if is_large { large.clone() } else { Bytes::from_static(b"small") };
        async { Response::new(Full::new(body)) }
    })
    .await;
    ServiceConfig { max_in_flight: 2, timeouts, ..service("s", addr) }
}

/// Limits, each of which ends an answer that is not taken.
fn limits() -> [Timeouts; 2] {
    let defaults = Timeouts::default();
    [Timeouts { idle: SHORT, ..defaults }, Timeouts { total: SHORT, ..defaults }]
}

async fn ask_for_large(ingress: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(ingress).await.unwrap();
    client.write_all(b"GET /api/service/s/large HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    client
}

async fn eventually_answered(ingress: SocketAddr) {
    let answered = async {
        while status(&ask(ingress, "GET /api/service/s/small", "", "").await) != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, answered).await.expect("the service's places are still held");
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_back_its_place_over_http1() {
    for timeouts in limits() {
        for entry in [0, 1] {
            let nodes = mesh(vec![vec![], vec![generous(timeouts).await]]).await;
            let ingress = nodes[entry].ingress;
            let clients = [ask_for_large(ingress).await, ask_for_large(ingress).await];
            eventually("both are under way", || nodes[1].proxy.in_flight() == 2).await;
            eventually_answered(ingress).await;
            eventually("nothing is under way", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
            for mut client in clients {
                let mut got = Vec::new();
                // A reset is an end as well.
                let _ = tokio::time::timeout(SOON, client.read_to_end(&mut got)).await.expect("no end");
                assert!((1..LARGE).contains(&got.len()), "{} bytes", got.len());
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_back_its_place_over_http2() {
    for timeouts in limits() {
        for entry in [0, 1] {
            let nodes = mesh(vec![vec![], vec![generous(timeouts).await]]).await;
            let stream = TcpStream::connect(nodes[entry].ingress).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let mut ask = |path| {
                let request = Request::get(format!("http://s.mesh/{path}"));
                sender.send_request(request.body(Empty::<Bytes>::new()).unwrap())
            };
            let unread = [ask("large").await.unwrap(), ask("large").await.unwrap()];
            let refused = ask("small").await.unwrap();
            assert_eq!(refused.headers()["x-mesh-error"], "saturated");
            eventually_answered(nodes[entry].ingress).await;
            eventually("nothing is under way", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
            for response in unread {
                let error = response.into_body().collect().await.expect_err("all came");
                let reset = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
                assert_eq!(reset.and_then(h2::Error::reason), Some(h2::Reason::CANCEL), "{error:?}");
            }
            assert_eq!(ask("small").await.unwrap().status(), 200, "the connection goes on");
        }
    }
}

#[tokio::test]
async fn a_slow_client_keeps_its_place_as_long_as_it_reads() {
    let timeouts = Timeouts { idle: Duration::from_secs(1), ..Timeouts::default() };
    let nodes = mesh(vec![vec![generous(timeouts).await]]).await;
    let mut client = ask_for_large(nodes[0].ingress).await;
    let mut piece = vec![0; 1 << 20];
    let mut got = 0;
    while got < LARGE {
        let read = tokio::time::timeout(SOON, client.read(&mut piece)).await.expect("no more").unwrap();
        assert!(read > 0, "closed after {got} bytes");
        // Together several times as long as a client may pause.
        tokio::time::sleep(Duration::from_secs_f64(3.0 * read as f64 / LARGE as f64)).await;
        got += read;
    }
}
