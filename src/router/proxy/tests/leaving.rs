//! Clients that leave while what they sent, or what they shall get, is held back; and answers that break off.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::harness::*;

/// Within that time everybody has to know; it is 100 ms on a machine that has nothing else to do.
const FELT_WITHIN: Duration = Duration::from_secs(1);

/// Takes connections, and neither reads nor says anything.
async fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    addr
}

async fn everybody_feels_it(nodes: &[Node], what: &str) {
    let left = Instant::now();
    eventually(what, || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
    println!("{what}: felt after {:?}", left.elapsed());
    assert!(left.elapsed() < FELT_WITHIN, "{what}: {:?}", left.elapsed());
}

/// Takes one connection, and reads nothing but so many bytes each time it is told to.
async fn sipping() -> (SocketAddr, mpsc::Sender<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sips, mut told) = mpsc::channel::<usize>(1);
    tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        while let Some(sip) = told.recv().await {
            stream.read_exact(&mut vec![0; sip]).await.unwrap();
        }
    });
    (addr, sips)
}

#[tokio::test]
async fn a_client_that_leaves_during_an_upload_that_is_held_back_is_felt() {
    for entry in [0, 1] {
        let (backend, sips) = sipping().await;
        let nodes = mesh(vec![vec![], vec![service("slow", backend)]]).await;
        let mut client = TcpStream::connect(nodes[entry].ingress).await.unwrap();
        socket2::SockRef::from(&client).set_send_buffer_size(32 * 1024).unwrap();
        let head = "POST /api/service/slow/ HTTP/1.1\r\nhost: here\r\ncontent-length: 1073741824\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![0; 1 << 20];
        while timeout(Duration::from_millis(300), client.write_all(&piece)).await.is_ok() {}
        assert_eq!(nodes[entry].proxy.in_flight(), 1);
        drop(client);
        // Its end is behind what its kernel still holds; that arrives, and is held back like the rest.
        sips.send(256 * 1024).await.unwrap();
        everybody_feels_it(&nodes, ["an upload over a link", "an upload"][entry]).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_its_upload_is_wanted_is_felt() {
    // The exit is reached, and never says whether it takes the request.
    let nodes = mesh(vec![vec![], vec![service("s", mute().await)]]).await;
    let silent = mute().await;
    nodes[0].views.send_modify(|view| {
        for member in &mut std::sync::Arc::make_mut(view).members {
            std::sync::Arc::make_mut(member).addr = Some(silent);
        }
    });
    eventually("it is known", || {
        nodes[0].proxy.shared.views.borrow().members.iter().all(|member| member.addr == Some(silent))
    })
    .await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    let head = "POST /api/service/s/ HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhello";
    client.write_all(head.as_bytes()).await.unwrap();
    eventually("under way", || nodes[0].proxy.in_flight() == 1).await;
    drop(client);
    let left = Instant::now();
    eventually("it is felt", || nodes[0].proxy.in_flight() == 0).await;
    assert!(
        left.elapsed() < Duration::from_millis(700),
        "before the connecting gave up: {:?}",
        left.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_leaves_during_a_download_that_is_held_back_is_felt() {
    let large = Bytes::from(vec![0; 64 << 20]);
    for entry in [0, 1] {
        for closes in [true, false] {
            let body = large.clone();
            let addr = backend(move |_| {
                let body = body.clone();
                async { Response::new(Full::new(body)) }
            })
            .await;
            let nodes = mesh(vec![vec![], vec![service("s", addr)]]).await;
            let mut client = TcpStream::connect(nodes[entry].ingress).await.unwrap();
            client.write_all(b"GET /api/service/s/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
            eventually("under way", || nodes[1].proxy.in_flight() == 1).await;
            sleep(Duration::from_millis(200)).await;
            assert_eq!(nodes[1].proxy.in_flight(), 1, "it is held back");
            let kept = if closes {
                drop(client);
                None
            } else {
                client.shutdown().await.unwrap();
                Some(client)
            };
            everybody_feels_it(&nodes, ["a download over a link", "a download"][entry]).await;
            drop(kept);
        }
    }
}

/// Begins an answer in chunks, and never ends it.
async fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
            stream.write_all(said).await.unwrap();
            kept.push(stream);
        }
    });
    addr
}

#[tokio::test]
async fn an_answer_whose_node_dies_breaks_off_and_does_not_look_whole() {
    let nodes = mesh(vec![vec![], vec![service("s", endless().await)]]).await;
    let mut http1 = TcpStream::connect(nodes[0].ingress).await.unwrap();
    http1.write_all(b"GET /api/service/s/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    let mut got = vec![0; 1024];
    let mut read = 0;
    while !String::from_utf8_lossy(&got[..read]).contains("half") {
        read += timeout(SOON, http1.read(&mut got[read..])).await.unwrap().unwrap();
    }
    let stream = TcpStream::connect(nodes[0].ingress).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://s.mesh/").body(Empty::<Bytes>::new()).unwrap();
    let http2 = sender.send_request(request).await.unwrap();

    nodes[1].stop.cancel();
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = timeout(SOON, http1.read_to_end(&mut rest)).await.expect("it goes on");
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "it looks whole");
    let broken = timeout(SOON, http2.into_body().collect()).await.expect("it goes on");
    assert!(broken.is_err(), "it looks whole");
}
