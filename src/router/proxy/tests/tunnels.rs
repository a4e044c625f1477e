//! WebSockets: only after the service has switched, byte for byte, both ways.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::harness::*;

/// A service that switches, says hello with its head, then echoes bytes, and says bye at their end.
async fn switching() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8(head).unwrap().to_lowercase();
                let wanted = head.contains("connection: upgrade") && head.contains("upgrade: websocket");
                let key = head.contains("sec-websocket-key: abc");
                assert!(wanted && key, "{head}");
                let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                              sec-websocket-accept: xyz\r\n\r\nhello";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.write_all(b"bye").await;
            });
        }
    });
    addr
}

const HANDSHAKE: &str = "GET /api/service/ws/chat HTTP/1.1\r\nhost: here\r\nconnection: keep-alive, Upgrade\r\n\
                         upgrade: WebSocket\r\nsec-websocket-key: abc\r\n\r\n";

async fn read_until(stream: &mut TcpStream, part: &str) -> String {
    let mut got = Vec::new();
    let read = tokio::time::timeout(SOON, async {
        while !String::from_utf8_lossy(&got).contains(part) {
            assert!(
                stream.read_buf(&mut got).await.unwrap() > 0,
                "closed after {}",
                String::from_utf8_lossy(&got)
            );
        }
    });
    read.await.unwrap_or_else(|_| panic!("no {part:?}"));
    String::from_utf8_lossy(&got).into_owned()
}

#[tokio::test]
async fn a_websocket_is_a_tunnel_here_and_across_a_link() {
    let nodes = mesh(vec![vec![], vec![service("ws", switching().await)]]).await;
    for node in &nodes {
        let mut client = TcpStream::connect(node.ingress).await.unwrap();
        client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let head = read_until(&mut client, "hello").await;
        assert_eq!(status(&head), 101, "{head}");
        assert_eq!(header(&head, "sec-websocket-accept"), Some("xyz"));
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        for said in ["ping", "pong"] {
            client.write_all(said.as_bytes()).await.unwrap();
            read_until(&mut client, said).await;
        }
        drop(client);
        eventually("nothing is under way", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
    }
}

#[tokio::test]
async fn the_end_of_one_direction_is_not_the_end_of_the_other() {
    let nodes = mesh(vec![vec![], vec![service("ws", switching().await)]]).await;
    for node in &nodes {
        let mut client = TcpStream::connect(node.ingress).await.unwrap();
        client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        read_until(&mut client, "hello").await;
        client.write_all(b"last words").await.unwrap();
        client.shutdown().await.unwrap();
        read_until(&mut client, "last wordsbye").await;
        let mut rest = Vec::new();
        tokio::time::timeout(SOON, client.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, b"");
        eventually("nothing is under way", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_switch_just_answers() {
    let plain = canned("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let nodes = mesh(vec![vec![], vec![service("ws", plain)]]).await;
    for node in &nodes {
        let mut client = TcpStream::connect(node.ingress).await.unwrap();
        client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\nno").await;
        assert_eq!(status(&answer), 403, "{answer}");
    }
}

#[tokio::test]
async fn a_service_that_switches_unasked_is_broken() {
    let nodes = mesh(vec![vec![], vec![service("ws", switching_rudely().await)]]).await;
    for node in &nodes {
        let answer = ask(node.ingress, "POST /api/service/ws/", "", "x").await;
        assert_eq!((status(&answer), header(&answer, "x-mesh-error")), (502, Some("broken")), "{answer}");
    }
}

async fn switching_rudely() -> SocketAddr {
    canned("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nraw").await
}

/// Frames as a client and as a service send them.
const FROM_CLIENT: &[u8] = b"\x81\x82\0\0\0\0hi";
const GOODBYE_TO_CLIENT: &[u8] = b"\x88\x02\x03\xe9";
const GOODBYE_TO_SERVICE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

/// A service that switches, and tells what it gets; it closes at the end of its client's bytes or after a close.
async fn listening() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (told, heard) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer =
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut got = Vec::new();
                while !got.ends_with(GOODBYE_TO_SERVICE) && stream.read_buf(&mut got).await.unwrap_or(0) > 0 {
                }
                let _ = told.send(got).await;
            });
        }
    });
    (addr, heard)
}

#[tokio::test]
async fn a_node_that_parts_closes_its_websockets_with_1001_both_ways() {
    for entry in [0, 1] {
        for parting in [0, 1] {
            let (backend, mut heard) = listening().await;
            let nodes = mesh(vec![vec![], vec![service("ws", backend)]]).await;
            let mut client = TcpStream::connect(nodes[entry].ingress).await.unwrap();
            client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
            read_until(&mut client, "\r\n\r\n").await;
            client.write_all(FROM_CLIENT).await.unwrap();
            nodes[parting].proxy.close();
            tokio::time::sleep(Duration::from_millis(20)).await;
            nodes[parting].proxy.part();
            if entry == 1 && parting == 0 {
                client.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
                drop(client);
                assert_eq!(
                    heard.recv().await.unwrap(),
                    [FROM_CLIENT, b"\x88\x80\0\0\0\0"].concat(),
                    "not concerned"
                );
                continue;
            }
            let mut got = Vec::new();
            tokio::time::timeout(SOON, client.read_to_end(&mut got)).await.unwrap().unwrap();
            assert_eq!(got, GOODBYE_TO_CLIENT, "entry {entry}, parting {parting}");
            drop(client);
            let heard = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
            assert_eq!(heard, [FROM_CLIENT, GOODBYE_TO_SERVICE].concat(), "entry {entry}, parting {parting}");
            for node in &nodes {
                tokio::time::timeout(SOON, node.proxy.drained()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_service_that_switches_to_something_else_is_broken() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nraw";
    let nodes = mesh(vec![vec![], vec![service("ws", canned(other).await)]]).await;
    for node in &nodes {
        let mut client = TcpStream::connect(node.ingress).await.unwrap();
        client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!((status(&answer), header(&answer, "x-mesh-error")), (502, Some("broken")), "{answer}");
        assert!(!answer.contains("raw"), "{answer}");
    }
}

/// RFC 8441: what a client of HTTP/2 asks for with CONNECT is the same WebSocket to the service.
#[tokio::test]
async fn a_client_of_http_2_gets_its_websocket_by_extended_connect() {
    let refusing = canned("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let (backend, mut heard) = listening().await;
    let services = vec![service("ws", backend), service("no", refusing)];
    let nodes = mesh(vec![vec![], services]).await;
    let stream = TcpStream::connect(nodes[0].ingress).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    // The settings of the other end have come with its first answer.
    let health = http::Request::get("http://here/health").body(()).unwrap();
    sender = sender.ready().await.unwrap();
    sender.send_request(health, true).unwrap().0.await.unwrap();
    assert!(sender.is_extended_connect_protocol_enabled());
    for (host, code) in [("no.mesh", 403), ("ws.mesh", 200)] {
        let mut request = http::Request::connect(format!("http://{host}/chat"))
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        sender = sender.ready().await.unwrap();
        let (answer, mut send) = sender.send_request(request, false).unwrap();
        let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), code, "{answer:?}");
        if code == 403 {
            assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "no");
            continue;
        }
        assert!(!answer.headers().contains_key("upgrade"), "{answer:?}");
        send.send_data(FROM_CLIENT.into(), false).unwrap();
        nodes[1].proxy.part();
        let mut got = answer.into_body();
        assert_eq!(got.data().await.unwrap().unwrap(), GOODBYE_TO_CLIENT);
        assert!(heard.recv().await.unwrap().ends_with(GOODBYE_TO_SERVICE));
    }
}
