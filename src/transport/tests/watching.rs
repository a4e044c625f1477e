//! Watch links: what becomes of them when the peer dies, leaves, stands still or is forgotten.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::watch_links::MAX_WATCH_LINKS;
use super::super::{Hint, Transport};
use super::{Node, identity, keyring, within};
use crate::id::NodeId;
use crate::mesh::{ConnectOutcome, LinkFailure};
use crate::metrics::{DirectionLabels, KindLabels};
use crate::time::Duration;

const ANYWHERE: &str = "127.0.0.1:0";

/// Longer than any answer takes, and short for a test.
const WAIT: Duration = Duration::from_millis(500);

impl Node {
    fn watch(&self, peers: &[(NodeId, SocketAddr)]) {
        self.transport.watch(peers.to_vec());
    }

    fn standing(&self, direction: &'static str) -> i64 {
        self.metrics.watch_links.get_or_create(&DirectionLabels { direction }).get()
    }

    fn ended(&self, kind: &'static str) -> u64 {
        self.metrics.watch_links_ended.get_or_create(&KindLabels { kind }).get()
    }

    /// Waits until so many links stand in this direction.
    async fn stands(&self, direction: &'static str, count: i64) {
        within(async {
            while self.standing(direction) != count {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Waits until a ping over the watch link gives this.
    async fn pings(&self, to: NodeId, expected: Result<Vec<u8>, LinkFailure>) {
        within(async {
            while self.transport.ping_link(to, b"ping".to_vec(), WAIT).await != expected {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

/// A node that answers every question with itself.
struct Echo {
    id: NodeId,
    addr: SocketAddr,
    _transport: Transport,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Echo {
    async fn start(seed: u8, at: &str) -> Self {
        let node = Node::start_with(seed, keyring(1), at.parse().unwrap()).await;
        let (id, addr) = (node.id, node.addr());
        let Node { transport, mut incoming, tasks, stop, .. } = node;
        tokio::spawn(async move {
            while let Some(request) = incoming.requests.recv().await {
                let _gone = request.reply.send(request.body);
            }
        });
        Self { id, addr, _transport: transport, tasks, stop }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        drop(self._transport);
        within(self.tasks.wait()).await;
    }
}

/// A node of identity 2 in a process of its own.
struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "transport::tests::watching::a_process_of_its_own"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines.map(Result::unwrap).find_map(|line| line.rsplit_once("listens at ")?.1.parse().ok());
        Self { child, addr: addr.unwrap() }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "other tests start it as a process, which ends with its standard input"]
fn a_process_of_its_own() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(Echo::start(2, ANYWHERE));
    std::io::stdout().write_all(format!("listens at {}\n", node.addr).as_bytes()).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A link that was never asked anything has no HTTP/2 on it yet.
async fn check_killed(was_asked: bool) {
    let (mut a, peer) = (Node::start(1, 1).await, Process::start());
    let id = identity(2).id();
    a.watch(&[(id, peer.addr)]);
    a.stands("dialled", 1).await;
    if was_asked {
        a.pings(id, Ok(b"ping".to_vec())).await;
    }
    peer.signal(Signal::KILL);
    let killed = Instant::now();
    assert_eq!(a.hint().await, Hint::LinkLost { peer: id });
    assert!(killed.elapsed() < WAIT, "{:?}", killed.elapsed());
    assert_eq!(a.transport.ping_link(id, b"ping".to_vec(), WAIT).await, Err(LinkFailure::Unreachable));
    assert_eq!(within(a.transport.who_is_at(peer.addr, id)).await, ConnectOutcome::Refused);
    assert_eq!(a.ended("lost"), 1);
}

#[tokio::test]
async fn a_process_that_is_killed_is_lost_at_once() {
    tokio::join!(check_killed(true), check_killed(false));
}

#[tokio::test]
async fn a_process_that_stands_still_stalls_and_is_lost_only_with_its_end() {
    let (mut a, peer) = (Node::start(1, 1).await, Process::start());
    let id = identity(2).id();
    a.watch(&[(id, peer.addr)]);
    a.pings(id, Ok(b"ping".to_vec())).await;
    peer.signal(Signal::STOP);
    let stalled = if cfg!(target_os = "linux") { LinkFailure::Stalled } else { LinkFailure::TimedOut };
    a.pings(id, Err(stalled)).await;
    assert_eq!(within(a.transport.who_is_at(peer.addr, id)).await, ConnectOutcome::Silent);
    peer.signal(Signal::CONT);
    a.pings(id, Ok(b"ping".to_vec())).await;
    assert_eq!(a.waiting_hints(), []);

    // What it did not read any more makes its kernel reset the connection.
    peer.signal(Signal::STOP);
    a.pings(id, Err(stalled)).await;
    peer.signal(Signal::KILL);
    assert_eq!(a.hint().await, Hint::LinkLost { peer: id });
}

#[tokio::test]
async fn a_node_that_ends_in_order_is_not_lost_and_found_again() {
    tokio::join!(check_ended(true), check_ended(false));
}

async fn check_ended(was_asked: bool) {
    let (mut a, b) = (Node::start(1, 1).await, Echo::start(2, ANYWHERE).await);
    let (id, addr) = (b.id, b.addr);
    a.watch(&[(id, addr)]);
    a.stands("dialled", 1).await;
    if was_asked {
        a.pings(id, Ok(b"ping".to_vec())).await;
    }
    b.end().await;
    a.pings(id, Err(LinkFailure::Unreachable)).await;

    let _b = Echo::start(2, &addr.to_string()).await;
    a.pings(id, Ok(b"ping".to_vec())).await;
    assert_eq!((a.ended("closed"), a.ended("lost")), (1, 0));
    assert_eq!(a.waiting_hints(), []);
}

#[tokio::test]
async fn a_member_that_is_watched_no_more_sees_its_link_closed_in_order() {
    let (mut a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    a.watch(&[(b.id, b.addr())]);
    b.stands("accepted", 1).await;
    a.stands("dialled", 1).await;
    assert_eq!(within(a.incoming.hints.recv()).await, Some(Hint::Admitted { peer: b.id, boot_nonce: 2 }));
    a.watch(&[(b.id, b.addr())]);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(a.standing("dialled"), 1, "the same set changes nothing");
    a.watch(&[]);
    a.stands("dialled", 0).await;
    b.stands("accepted", 0).await;
    assert_eq!(a.waiting_hints(), []);
    assert_eq!(a.transport.ping_link(b.id, vec![], WAIT).await, Err(LinkFailure::Unreachable));
}

#[tokio::test]
async fn a_node_watches_neither_itself_nor_another_one_at_the_address() {
    let (a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    a.watch(&[(a.id, a.addr()), (identity(3).id(), b.addr())]);
    within(async {
        while b.refused("link_hello") == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!((a.standing("dialled"), a.standing("accepted"), b.standing("accepted")), (0, 0, 0));
}

#[tokio::test]
async fn who_answers_at_an_address_is_told_apart() {
    let (a, b) = (Node::start(1, 1).await, Node::start(2, 1).await);
    let id = b.id;
    let who = async |addr| within(a.transport.who_is_at(addr, id)).await;
    assert_eq!(who(b.addr()).await, ConnectOutcome::Proven);
    let other = Node::start(3, 1).await;
    assert_eq!(who(other.addr()).await, ConnectOutcome::OtherPeer);
    // The kernel accepts for a process that does not.
    let mute = TcpListener::bind(ANYWHERE).unwrap();
    assert_eq!(who(mute.local_addr().unwrap()).await, ConnectOutcome::Silent);
    let (free, addr) = (mute.local_addr().unwrap(), b.addr());
    drop(mute);
    assert_eq!(who(free).await, ConnectOutcome::Refused);
    b.end().await;
    assert_eq!(who(addr).await, ConnectOutcome::Refused);
}

#[tokio::test]
async fn watch_links_of_both_directions_have_their_places_in_common() {
    let hub = Node::start(1, 1).await;
    let mut others = Vec::new();
    for seed in 2..=MAX_WATCH_LINKS + 1 {
        let other = Node::start(u8::try_from(seed).unwrap(), 1).await;
        other.watch(&[(hub.id, hub.addr())]);
        others.push(other);
    }
    let most = i64::try_from(MAX_WATCH_LINKS).unwrap();
    hub.stands("accepted", most).await;

    hub.watch(&[(others[0].id, others[0].addr())]);
    hub.stands("dialled", 1).await;
    let one_more = Node::start(100, 1).await;
    one_more.watch(&[(hub.id, hub.addr())]);
    one_more.stands("dialled", 1).await;
    // Who had to make room comes back, and has others make room for it.
    let began = Instant::now();
    while began.elapsed() < WAIT {
        assert!(hub.standing("accepted") + hub.standing("dialled") <= most);
        sleep(Duration::from_millis(1)).await;
    }
    hub.stands("accepted", most - 1).await;
    assert_eq!(hub.standing("dialled"), 1, "what this node dialled stays");
    for other in &mut others {
        assert_eq!(other.waiting_hints().iter().find(|hint| matches!(hint, Hint::LinkLost { .. })), None);
    }
}
