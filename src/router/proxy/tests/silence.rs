//! Nodes from which nothing comes back although their links stand, and instances that are slow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::harness::*;
use crate::config::ServiceConfig;
use crate::manifest::Route;
use crate::metrics::ServiceLabels;
use crate::view::View;

/// How often each request was carried out, by method and path.
type Ledger = Arc<Mutex<BTreeMap<String, usize>>>;

/// A service that notes every request whose body it has read, and takes its time.
async fn noting(ledger: &Ledger, pause: Duration) -> SocketAddr {
    let ledger = ledger.clone();
    backend(move |request| {
        let ledger = ledger.clone();
        async move {
            let (head, body) = request.into_parts();
            let whole = body.collect().await.is_ok();
            if whole {
                let name = format!("{} {}", head.method, head.uri.path());
                *ledger.lock().unwrap().entry(name).or_default() += 1;
            }
            tokio::time::sleep(pause).await;
            Response::new(Full::new(Bytes::from_static(b"done")))
        }
    })
    .await
}

/// A way to `target` on which nothing moves, in either direction, while the switch is off.
async fn relay(target: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (switch, flows) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(target).await.unwrap();
            let (near, far) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near.0, far.1, flows.clone()));
            tokio::spawn(carry(far.0, near.1, flows.clone()));
        }
    });
    (addr, switch)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flows: watch::Receiver<bool>) {
    let mut piece = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut piece).await {
        if flows.wait_for(|flows| *flows).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

/// Has `node` reach `other` by another address.
fn reach_by(node: &Node, other: &Node, addr: SocketAddr) {
    change_member(node, other, |member| member.addr = Some(addr));
}

fn change_member(node: &Node, other: &Node, change: impl Fn(&mut crate::view::MemberView)) {
    node.views.send_modify(|view: &mut Arc<View>| {
        for member in &mut Arc::make_mut(view).members {
            if member.id == other.id {
                change(Arc::make_mut(member));
            }
        }
    });
}

/// Three nodes: the first has nothing, the second is as good as sure to be tried first, and the first reaches it by a relay.
async fn three(first: SocketAddr, second: SocketAddr) -> (Vec<Node>, watch::Sender<bool>) {
    let preferred = ServiceConfig { weight: 10_000, ..service("s", first) };
    let nodes = mesh(vec![vec![], vec![preferred], vec![service("s", second)]]).await;
    let links = nodes[0].views.borrow().members.iter().find(|member| member.id == nodes[1].id).unwrap().addr;
    let (addr, switch) = relay(links.unwrap()).await;
    reach_by(&nodes[0], &nodes[1], addr);
    let id = nodes[1].id.to_string();
    let reached = async {
        let warm = "GET /api/service/s/warm";
        while header(&ask(nodes[0].ingress, warm, "", "").await, "x-mesh-worker") != Some(id.as_str()) {}
    };
    tokio::time::timeout(SOON, reached).await.expect("the second node is never used");
    (nodes, switch)
}

#[tokio::test]
async fn a_node_that_falls_silent_holds_up_no_request_and_is_used_again_when_it_speaks() {
    let ledger = Ledger::default();
    let (first, second) = (noting(&ledger, Duration::ZERO).await, noting(&ledger, Duration::ZERO).await);
    let (nodes, switch) = three(first, second).await;
    let ingress = nodes[0].ingress;
    switch.send_replace(false);

    let began = Instant::now();
    let cases =
        [("GET", ""), ("PUT", "small"), ("DELETE", ""), ("POST", "a body"), ("POST", ""), ("PATCH", "x")];
    let asking: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(index, (method, said))| {
            let (line, said) = (format!("{method} /api/service/s/{index}"), (*said).to_owned());
            tokio::spawn(async move { ask(ingress, &line, "", &said).await })
        })
        .collect();
    let spared = nodes[2].id.to_string();
    for asked in asking {
        let answer = asked.await.unwrap();
        assert_eq!((status(&answer), body(&answer)), (200, "done"), "{answer}");
        assert_eq!(header(&answer, "x-mesh-worker"), Some(spared.as_str()), "{answer}");
    }
    println!("six requests to a silent node were answered after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    let answer = ask(ingress, "GET /api/service/s/later", "", "").await;
    assert_eq!(header(&answer, "x-mesh-attempts"), Some("1"), "it is still tried: {answer}");
    switch.send_replace(true);
    let first = nodes[1].id.to_string();
    let back = async {
        while header(&ask(ingress, "POST /api/service/s/back", "", "").await, "x-mesh-worker") != Some(&first)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, back).await.expect("it is not used again");
    for name in ["POST /3", "POST /4", "PATCH /5"] {
        assert_eq!(ledger.lock().unwrap().get(name), Some(&1), "{name}");
    }
}

#[tokio::test]
async fn the_only_node_may_be_silent_for_a_while_at_no_harm() {
    let ledger = Ledger::default();
    let first = noting(&ledger, Duration::ZERO).await;
    let (nodes, switch) = three(first, nobody().await).await;
    let ingress = nodes[0].ingress;
    switch.send_replace(false);
    let lines = ["GET /api/service/s/g", "POST /api/service/s/p"];
    let asking = lines.map(|line| tokio::spawn(ask(ingress, line, "", "")));
    tokio::time::sleep(Duration::from_millis(700)).await;
    switch.send_replace(true);
    for asked in asking {
        let answer = asked.await.unwrap();
        assert_eq!((status(&answer), body(&answer)), (200, "done"), "{answer}");
    }
    assert_eq!(ledger.lock().unwrap().get("POST /p"), Some(&1));
}

#[tokio::test]
async fn a_slow_instance_is_hedged_when_its_route_says_so_and_only_if_that_is_harmless() {
    let ledger = Ledger::default();
    let slow = noting(&ledger, Duration::from_secs(2)).await;
    let (nodes, _switch) = three(slow, noting(&ledger, Duration::ZERO).await).await;
    change_member(&nodes[0], &nodes[1], |member| {
        let manifest = Arc::make_mut(member.manifest.as_mut().unwrap());
        let hedged =
            Route { hedge_after: Duration::from_millis(50), ..Route::default_of("s".parse().unwrap()) };
        manifest.routes = vec![Route { rev: 2, ..hedged }];
    });
    let router = || nodes[0].proxy.shared.router.lock().unwrap().hedge_after("s");
    eventually("the route holds", || router().is_some()).await;

    // Neither may the slow one become unpopular before, nor the budget be too small.
    let began = Instant::now();
    let hedged = ask(nodes[0].ingress, "GET /api/service/s/g", "", "").await;
    assert_eq!((status(&hedged), header(&hedged, "x-mesh-attempts")), (200, Some("2")), "{hedged}");
    assert_eq!(header(&hedged, "x-mesh-worker"), Some(nodes[2].id.to_string().as_str()), "{hedged}");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let of_service = ServiceLabels { service: "s".to_owned() };
    let counted = nodes[0].proxy.shared.metrics.hedges.get_or_create(&of_service).get();
    assert_eq!(counted, 1);
    eventually("the loser is cancelled", || nodes.iter().all(|node| node.proxy.in_flight() == 0)).await;
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());

    let pinned = format!("x-mesh-worker: {}\r\n", nodes[1].id);
    let post = ask(nodes[0].ingress, "POST /api/service/s/p", &pinned, "x").await;
    assert_eq!((status(&post), header(&post, "x-mesh-attempts")), (200, Some("1")), "{post}");
    assert_eq!(ledger.lock().unwrap().get("POST /p"), Some(&1));
    let counted = nodes[0].proxy.shared.metrics.hedges.get_or_create(&of_service).get();
    assert_eq!(counted, 1, "a POST was hedged");
}

#[tokio::test]
async fn one_dead_address_holds_up_nobody_who_could_be_served() {
    // Connections to it are neither taken nor refused.
    let full = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = full.local_addr().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let counter = served.clone();
    let good = backend(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Response::new(Full::new(Bytes::from_static(b"done"))) }
    })
    .await;
    let preferred = ServiceConfig { weight: 10_000, ..service("s", good) };
    let nodes = mesh(vec![vec![], vec![preferred], vec![service("s", good)]]).await;
    reach_by(&nodes[0], &nodes[1], dead);
    eventually("it is known", || {
        nodes[0].proxy.shared.views.borrow().members.iter().any(|member| member.addr == Some(dead))
    })
    .await;
    let ingress = nodes[0].ingress;
    let began = Instant::now();
    let asking: Vec<_> =
        (0..20).map(|_| tokio::spawn(ask(ingress, "POST /api/service/s/", "", "hello"))).collect();
    for asked in asking {
        let answer = asked.await.unwrap();
        assert_eq!((status(&answer), body(&answer)), (200, "done"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "they stood in line: {:?}", began.elapsed());
    assert_eq!(served.load(Ordering::SeqCst), 20);

    let pinned = format!("x-mesh-worker: {}\r\n", nodes[1].id);
    let alone = ask(ingress, "GET /api/service/s/", &pinned, "").await;
    assert_eq!(status(&alone), 503, "the truth, when there is nobody else: {alone}");
    assert!(header(&alone, "retry-after").is_some(), "{alone}");
}

#[tokio::test]
async fn a_post_that_another_node_works_on_outlives_the_silent_one_that_was_asked_first() {
    let ledger = Ledger::default();
    let (first, second) =
        (noting(&ledger, Duration::ZERO).await, noting(&ledger, Duration::from_secs(4)).await);
    let (nodes, switch) = three(first, second).await;
    switch.send_replace(false);
    let answer = ask(nodes[0].ingress, "POST /api/service/s/slow", "", "a body").await;
    assert_eq!((status(&answer), header(&answer, "x-mesh-retry")), (200, None), "{answer}");
    assert_eq!(ledger.lock().unwrap().get("POST /slow"), Some(&1));
    switch.send_replace(true);
}
