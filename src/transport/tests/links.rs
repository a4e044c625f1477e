//! Links between transports.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::Hint;
use super::super::accept::MAX_PENDING;
use super::super::hello::{Greeting, Introduction};
use super::super::http2;
use super::super::keys::Keys;
use super::super::tls::{Tls, server_name};
use super::{Node, PATIENCE, identity, keyring, within};
use crate::id::Version;
use crate::mesh::LinkFailure;
use crate::time::{Duration, Instant};
use crate::view::{LeaderView, MemberView, Status, View};
use crate::wire::MAX_LINK_BODY_LEN;

/// Asks `node` for an echo of `body`, and has it answer.
async fn echo(from: &Node, node: &mut Node, body: &[u8]) -> Result<Vec<u8>, LinkFailure> {
    let (links, id, addr) = (from.transport.links(), node.id, node.addr());
    let answering = async {
        let request = node.incoming.requests.recv().await.unwrap();
        assert_eq!(request.from, from.id);
        request.reply.send(request.body).unwrap();
        std::future::pending::<()>().await;
    };
    within(async {
        tokio::select! {
            answer = links.request(id, addr, body.to_vec()) => answer,
            () = answering => unreachable!(),
        }
    })
    .await
}

/// A view that knows `of` at `epoch`.
fn view(local: &Node, of: &Node, epoch: u64) -> watch::Receiver<Arc<View>> {
    let member = MemberView {
        id: of.id,
        hash: of.id.hash(),
        status: Status::Dead,
        unroutable: false,
        version: Version { epoch, incarnation: 0 },
        manifest: None,
        addr: None,
        rtt: None,
        load: None,
        first_seen: Instant::ORIGIN,
        last_heard: Instant::ORIGIN,
    };
    let (local, members) = (local.id, vec![Arc::new(member)]);
    let leader = LeaderView::default();
    watch::channel(Arc::new(View { version: 1, local, members, leader, ready: true, draining: false })).1
}

#[tokio::test]
async fn a_request_goes_there_and_back_and_the_link_is_shared() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    assert_eq!(echo(&a, &mut b, b"first").await.unwrap(), b"first");
    assert_eq!(echo(&a, &mut b, b"").await.unwrap(), b"");
    let largest = vec![7; MAX_LINK_BODY_LEN];
    assert_eq!(echo(&a, &mut b, &largest).await.unwrap(), largest);
    assert_eq!(b.hint().await, Hint::ReachedAt(b.addr().ip()));

    let sender = within(a.transport.links().open(b.id, b.addr())).await.unwrap().sender;
    let too_long = vec![7; MAX_LINK_BODY_LEN + 1];
    assert_eq!(within(http2::post(sender, http2::CORE_PATH, too_long)).await, Err(LinkFailure::Unreachable));
    assert_eq!(echo(&a, &mut b, b"still there").await.unwrap(), b"still there");
}

#[tokio::test]
async fn a_link_that_carried_no_request_of_a_client_is_closed_sooner() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let links = a.transport.links();
    let (reached, now) = (Hint::ReachedAt(b.addr().ip()), tokio::time::Instant::now);
    assert!(echo(&a, &mut b, b"x").await.is_ok());
    assert_eq!(b.hint().await, reached);
    links.sweep(now() + Duration::from_secs(31));
    assert!(within(links.open(b.id, b.addr())).await.is_ok());
    assert_eq!(b.hint().await, reached, "it was dialled again");
    links.sweep(now() + Duration::from_secs(299));
    assert!(echo(&a, &mut b, b"x").await.is_ok());
    assert_eq!(b.waiting_hints(), [], "it stood");
    links.sweep(now() + Duration::from_secs(301));
    assert!(echo(&a, &mut b, b"x").await.is_ok());
    assert_eq!(b.hint().await, reached, "it was idle for too long");
}

#[tokio::test]
async fn many_requests_dial_once() {
    let (a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let (links, id, addr) = (a.transport.links(), b.id, b.addr());
    let all = (0..50).map(|_| links.open(id, addr));
    let opened = within(futures_util::future::join_all(all)).await;
    assert!(opened.iter().all(Result::is_ok));
    let mut b = b;
    assert_eq!(b.hint().await, Hint::ReachedAt(b.addr().ip()));
    assert_eq!(b.waiting_hints(), [], "every admitted link gives one hint");
}

#[tokio::test]
async fn a_stream_with_the_service_header_is_proxied_and_an_unknown_path_is_not_found() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let mut sender = within(a.transport.links().open(b.id, b.addr())).await.unwrap().sender;
    let request =
        Request::post("https://mesh/mesh/v1/core").header("x-mesh-service", "rag").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let mut proxied = within(b.incoming.proxied.recv()).await.unwrap();
    assert_eq!((proxied.from, proxied.request.uri().path()), (a.id, "/mesh/v1/core"));
    let mut stream = proxied.respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"answer"), true).unwrap();
    let body = http2::read_body(within(response).await.unwrap().into_body()).await.unwrap();
    assert_eq!(body, b"answer");

    let unknown = Request::post("https://mesh/mesh/v1/later").body(()).unwrap();
    let (response, _) = within(sender.ready()).await.unwrap().send_request(unknown, true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_node_at_the_address_is_the_wrong_peer() {
    let (a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let links = a.transport.links();
    let request = links.request(identity(3).id(), b.addr(), b"x".to_vec());
    assert_eq!(within(request).await, Err(LinkFailure::WrongPeer));
    assert_eq!(within(a.transport.links().open(a.id, a.addr())).await.err(), Some(LinkFailure::WrongPeer));
    let twin = Node::start(1, 1).await;
    assert_eq!(within(a.transport.links().whoami(twin.addr(), 1)).await, Err(LinkFailure::WrongPeer));
}

#[tokio::test]
async fn another_cluster_key_gets_nothing_on_a_link() {
    let (stranger, mut node) = (Node::start(1, 2).await, Node::start(2, 1).await);
    let links = stranger.transport.links();
    let request = links.request(node.id, node.addr(), b"x".to_vec());
    assert_eq!(within(request).await, Err(LinkFailure::Unreachable));
    assert_eq!(node.refused("link_key"), 1);
    assert!(node.incoming.requests.try_recv().is_err());
    assert!(node.waiting_hints().is_empty());

    let heard = within(heard_after_hello(node.addr(), 2)).await;
    assert_eq!(heard, b"", "not even the HTTP/2 preface");
    let heard = within(heard_after_hello(node.addr(), 1)).await;
    assert_ne!(heard, b"", "the probe would hear something");
}

/// What a node says after TLS to a dialler that proves the key of `key_seed`.
async fn heard_after_hello(addr: SocketAddr, key_seed: u8) -> Vec<u8> {
    let tls = Tls::new(&identity(3)).unwrap();
    let tcp = TcpStream::connect(addr).await.unwrap();
    let mut stream = tls.connector().connect(server_name(), tcp).await.unwrap();
    let channel = tls.channel(stream.get_ref().1).unwrap();
    let keyring = keyring(key_seed);
    let (cluster, epoch) = ("test".to_owned(), Arc::default());
    let introduction = Introduction { cluster, keys: Keys::new(keyring), boot_nonce: 1, epoch };
    let mut heard = Vec::new();
    if introduction.dial(&mut stream, &channel, Greeting::default()).await.is_ok() {
        let mut bytes = [0; 64];
        let len = stream.read(&mut bytes).await.unwrap();
        heard.extend_from_slice(&bytes[..len]);
        return heard;
    }
    // The end comes without TLS's closing message, which is an error by itself.
    let _abrupt = stream.read_to_end(&mut heard).await;
    heard
}

#[tokio::test]
async fn a_peer_that_ends_is_redialled_when_it_is_back() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    assert_eq!(echo(&a, &mut b, b"before").await.unwrap(), b"before");
    let (id, addr) = (b.id, b.addr());
    b.end().await;
    let refused = within(a.transport.links().request(id, addr, b"x".to_vec())).await;
    assert_eq!(refused, Err(LinkFailure::Unreachable));

    let mut b = Node::start_with(2, keyring(1), addr).await;
    within(async {
        while echo(&a, &mut b, b"after").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_failed_dial_is_remembered_for_its_address_only() {
    let (a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let links = a.transport.links();
    assert_eq!(within(links.open(identity(3).id(), b.addr())).await.err(), Some(LinkFailure::WrongPeer));
    let c = Node::start(3, 1).await;
    assert!(within(links.open(c.id, c.addr())).await.is_ok());
}

#[tokio::test]
async fn whoami_tells_the_source_address_and_whether_it_leads_back() {
    let (a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    b.transport.set_known_epochs(view(&b, &a, 4));
    let whoami = within(a.transport.links().whoami(b.addr(), a.addr().port())).await.unwrap();
    assert_eq!((whoami.peer, whoami.observed, whoami.confirmed), (b.id, a.addr().ip(), true));
    assert_eq!(whoami.known_epoch, 4);
    let elsewhere = within(a.transport.links().whoami(b.addr(), b.addr().port())).await.unwrap();
    assert!(!elsewhere.confirmed);
}

#[tokio::test]
async fn who_is_known_at_a_higher_epoch_is_told_from_either_end() {
    let (mut a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    b.transport.set_known_epochs(view(&b, &a, 77));
    assert!(within(a.transport.links().open(b.id, b.addr())).await.is_ok());
    assert_eq!(a.hint().await, Hint::EpochBehind { known: 77 });
    assert_eq!(b.hint().await, Hint::ReachedAt(b.addr().ip()));
    assert!(within(b.transport.links().open(a.id, a.addr())).await.is_ok());
    assert_eq!(a.hint().await, Hint::EpochBehind { known: 77 });
    assert_eq!(a.hint().await, Hint::ReachedAt(a.addr().ip()));

    a.transport.set_epoch(78);
    assert!(within(a.transport.links().whoami(b.addr(), 1)).await.is_ok());
    assert!(a.waiting_hints().is_empty(), "nothing is behind any more");
}

#[tokio::test]
async fn many_clients_that_hang_up_at_once_do_not_end_the_link() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let mut sender = within(a.transport.links().open(b.id, b.addr())).await.unwrap().sender;
    for _ in 0..10 {
        let mut streams = Vec::new();
        for _ in 0..256 {
            let request = Request::post("https://mesh/").header("x-mesh-service", "rag").body(()).unwrap();
            sender = within(sender.ready()).await.unwrap();
            streams.push(sender.send_request(request, false).unwrap());
        }
        drop(streams);
        while b.incoming.proxied.try_recv().is_ok() {}
    }
    let unknown = Request::post("https://mesh/mesh/v1/later").body(()).unwrap();
    let (response, _) = within(sender.ready()).await.unwrap().send_request(unknown, true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_crowded_link_gets_a_second_one_beside_it_and_no_third() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let links = a.transport.links();
    let reached = Hint::ReachedAt(b.addr().ip());
    let mut lanes = Vec::new();
    for _ in 0..64 {
        lanes.push(within(links.open(b.id, b.addr())).await.unwrap());
    }
    assert_eq!(b.hint().await, reached);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(b.waiting_hints(), [], "what travels together costs less");
    lanes.push(within(links.open(b.id, b.addr())).await.unwrap());
    assert_eq!(b.hint().await, reached);
    for _ in 0..200 {
        lanes.push(within(links.open(b.id, b.addr())).await.unwrap());
        tokio::task::yield_now().await;
    }
    assert!(b.waiting_hints().is_empty());
}

#[tokio::test]
async fn strangers_that_wait_for_admission_are_bounded_and_keep_no_member_out() {
    let (mut node, member) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let mut waiting = Vec::new();
    for _ in 0..MAX_PENDING {
        waiting.push(TcpStream::connect(node.addr()).await.unwrap());
    }
    assert!(echo(&member, &mut node, b"x").await.is_ok());
    assert_eq!(node.refused("link_pending_full"), 1);
    assert_eq!(within(waiting[0].read(&mut [0; 1])).await.unwrap(), 0, "the oldest made room");
}

#[tokio::test]
async fn the_end_of_a_node_closes_its_links() {
    let (a, mut b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    assert!(echo(&a, &mut b, b"x").await.is_ok());
    let _held = within(a.transport.links().open(b.id, b.addr())).await.unwrap();
    assert!(PATIENCE > http2::CLOSING_TIMEOUT);
    a.end().await;
    b.end().await;
}

#[test]
fn the_environment_cannot_ask_for_the_secrets_of_links() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().join("secrets");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "transport::tests::links::a_request_goes_there_and_back_and_the_link_is_shared"])
        .env("SSLKEYLOGFILE", &secrets)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    assert!(output.contains("1 passed"), "{output}");
    assert!(std::fs::read(&secrets).unwrap_or_default().is_empty(), "secrets of links were written down");
}
