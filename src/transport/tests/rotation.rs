//! Cluster keys that are replaced while links stand.

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::sleep;

use super::super::http2;
use super::super::{Hint, Keyring};
use super::{Node, within};
use crate::mesh::LinkFailure;
use crate::time::Duration;

fn ring(seeds: &[u8]) -> Keyring {
    let keys: Vec<_> = seeds.iter().map(|seed| [*seed; 32]).collect();
    Keyring::from_keys(&keys).unwrap()
}

impl Node {
    /// Waits for the next admission.
    async fn admits(&mut self) {
        while !matches!(within(self.incoming.hints.recv()).await, Some(Hint::Admitted { .. })) {}
    }
}

#[tokio::test]
async fn a_link_is_proven_again_under_the_new_key_before_it_ends_and_its_streams_go_on() {
    let (mut a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let mut sender = within(a.transport.links().open(b.id, b.addr())).await.unwrap().sender;
    b.admits().await;
    let request = Request::post("https://mesh/").header("x-mesh-service", "rag").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    drop(sender);
    let mut proxied = within(b.incoming.proxied.recv()).await.unwrap();

    for node in [&a, &b] {
        node.transport.rotate(ring(&[1, 2])).unwrap();
    }
    for node in [&a, &b] {
        node.transport.rotate(ring(&[2, 1])).unwrap();
    }
    // The new link was dialled although nobody asked for one.
    b.admits().await;
    for node in [&a, &b] {
        node.transport.rotate(ring(&[2])).unwrap();
    }
    sleep(Duration::from_secs(6)).await;
    assert!(within(a.transport.links().open(b.id, b.addr())).await.is_ok());
    let admitted = std::iter::from_fn(|| b.incoming.hints.try_recv().ok());
    assert_eq!(admitted.filter(|hint| matches!(hint, Hint::Admitted { .. })).count(), 0, "once is enough");

    let mut stream = proxied.respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"late"), true).unwrap();
    let body = http2::read_body(within(response).await.unwrap().into_body()).await.unwrap();
    assert_eq!(body, b"late", "a stream outlives the key of its link");
    assert_eq!((a.waiting_hints().len(), a.refused("link_key"), b.refused("link_key")), (0, 0, 0));
}

#[tokio::test]
async fn a_peer_with_nothing_but_a_removed_key_loses_its_links() {
    let (mut a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    a.transport.watch(vec![(b.id, b.addr())]);
    let sender = within(a.transport.links().open(b.id, b.addr())).await.unwrap().sender;
    a.admits().await;
    a.admits().await;
    b.transport.rotate(ring(&[2])).unwrap();
    within(async {
        while sender.clone().ready().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let again = within(a.transport.links().open(b.id, b.addr())).await;
    assert_eq!(again.err(), Some(LinkFailure::Unreachable));
    assert!(b.refused("link_key") >= 1);
    assert_eq!(a.waiting_hints(), [], "its watch link was closed in order");
}

#[tokio::test]
async fn datagrams_under_any_key_of_the_ring_open_and_under_a_removed_one_no_more() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let send = |text: &[u8]| a.transport.send(Some(b.id.hash()), b.transport.local_addr(), text);
    send(b"old");
    assert_eq!(within(b.incoming.datagrams.recv()).await.unwrap().plaintext, b"old");
    b.transport.rotate(ring(&[2, 1])).unwrap();
    send(b"still old");
    assert_eq!(within(b.incoming.datagrams.recv()).await.unwrap().plaintext, b"still old");
    a.transport.rotate(ring(&[2, 1])).unwrap();
    b.transport.rotate(ring(&[2])).unwrap();
    send(b"new");
    assert_eq!(within(b.incoming.datagrams.recv()).await.unwrap().plaintext, b"new");

    a.transport.rotate(ring(&[1])).unwrap();
    send(b"removed");
    a.transport.rotate(ring(&[2])).unwrap();
    send(b"last");
    assert_eq!(within(b.incoming.datagrams.recv()).await.unwrap().plaintext, b"last");
    assert_eq!(b.refused("datagram_key"), 1);
}
