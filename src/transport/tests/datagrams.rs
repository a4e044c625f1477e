//! Sealed datagrams between two transports, and what strangers send.

use std::net::{SocketAddr, UdpSocket};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::seal::Sealer;
use super::super::{BindError, Received, Transport};
use super::{Node, config, identity, keyring, within};
use crate::metrics::{DirectionLabels, Metrics};
use crate::wire::packet::Join;
use crate::wire::{self, Body, MAX_PACKET_LEN, Packet};

#[tokio::test]
async fn two_nodes_exchange_datagrams() {
    let (mut a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    a.transport.send(Some(b.id.hash()), b.addr(), b"ping");
    let received = within(b.incoming.datagrams.recv()).await.unwrap();
    assert_eq!(received, Received { source: a.addr(), plaintext: b"ping".to_vec() });
    b.transport.send(Some(a.id.hash()), received.source, b"ack");
    assert_eq!(within(a.incoming.datagrams.recv()).await.unwrap().plaintext, b"ack");

    let join = Join { id: a.id.public_key().to_vec(), token: 1, root: 0 };
    let join = wire::encode(&Packet { body: Some(Body::Join(join)), ..Packet::default() });
    a.transport.send(None, b.addr(), &join);
    assert_eq!(within(b.incoming.datagrams.recv()).await.unwrap().plaintext, join);
}

#[tokio::test]
async fn strangers_are_counted_and_get_silence() {
    let mut node = Node::start(1, 1).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let send = |bytes: &[u8]| assert_eq!(stranger.send_to(bytes, node.addr()).unwrap(), bytes.len());
    let seal = |key: u8, recipient, text: &[u8]| {
        Sealer::new("test", &keyring(key)).unwrap().seal(Some(recipient), text).unwrap().to_vec()
    };

    let genuine = seal(1, node.id.hash(), b"genuine");
    send(b"garbage");
    send(&[9; 600]);
    send(&[1; 1400]);
    send(&seal(2, node.id.hash(), b"wrong key"));
    send(&seal(1, identity(3).id().hash(), b"for another"));
    send(&genuine);
    send(&genuine);
    send(&seal(1, node.id.hash(), b"last"));

    assert_eq!(within(node.incoming.datagrams.recv()).await.unwrap().plaintext, b"genuine");
    assert_eq!(within(node.incoming.datagrams.recv()).await.unwrap().plaintext, b"last");
    assert_eq!(node.refused("datagram_length"), 2);
    assert_eq!(node.refused("datagram_version"), 1);
    assert_eq!(node.refused("datagram_key"), 1);
    assert_eq!(node.refused("datagram_seal"), 1);
    assert_eq!(node.refused("datagram_replay"), 1);
    assert!(stranger.recv_from(&mut [0; 1500]).is_err(), "nothing is ever answered");
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let full = super::super::DATAGRAMS as u64;
    let counted = b.metrics.datagrams.get_or_create(&DirectionLabels { direction: "received" }).clone();
    for sent in 1..=full + 10 {
        a.transport.send(Some(b.id.hash()), b.addr(), b"x");
        // The kernel's buffer is not what is tested here.
        within(async {
            while counted.get() < sent {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
    assert_eq!(b.refused("datagram_queue_full"), 10);
    assert!(b.incoming.datagrams.try_recv().is_ok());
}

#[tokio::test]
async fn what_cannot_be_sent_is_counted_as_dropped() {
    let node = Node::start(1, 1).await;
    node.transport.send(Some(node.id.hash()), node.addr(), &[0; MAX_PACKET_LEN + 1]);
    let dropped = node.metrics.datagrams.get_or_create(&DirectionLabels { direction: "dropped" }).get();
    assert_eq!(dropped, 1);
}

#[tokio::test]
async fn a_bound_port_is_named() {
    let check = async |addr: SocketAddr, expected: &str| {
        let config = config(1, keyring(1), addr);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let error = Transport::bind(config, Metrics::new(), &tasks, stop).await.unwrap_err();
        assert!(matches!(error, BindError::Socket { .. }));
        assert!(error.to_string().starts_with(&format!("cannot bind {expected} {addr}")), "{error}");
    };
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    check(tcp.local_addr().unwrap(), "TCP").await;
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    check(udp.local_addr().unwrap(), "UDP").await;
}
