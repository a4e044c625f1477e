//! How links and hosts behave, as a node would see it.

use meshnode::mesh::{Detector, RequestId};
use meshnode::time::Duration;
use meshnode::wire::link::{Ask, Nothing, Request};

use super::links::Exchange;
use super::{Cluster, Restart};
use crate::latency::Latency;
use crate::options::Options;
use crate::trace::Trace;

const ID: RequestId = RequestId(1 << 40);

/// Three nodes, the first of which watches the second. Their own detector keeps no links.
fn watching() -> Cluster {
    let mut options = Options { mode: Detector::Lifeguard, ..Options::draw(3, 1) };
    options.network.latency = Latency::Constant(Duration::from_millis(1));
    let mut cluster = Cluster::boot(options, Trace::default());
    cluster.run(Duration::from_secs(20)).unwrap();
    let (boot, peer) = (boot_of(&cluster, 0), (cluster.nodes[1].id(), cluster.nodes[1].addr));
    cluster.watch(0, boot, vec![peer]);
    cluster.run(Duration::from_millis(100)).unwrap();
    assert!(is_linked(&cluster), "the link stands");
    cluster
}

fn boot_of(cluster: &Cluster, node: usize) -> u64 {
    cluster.nodes[node].process.as_ref().unwrap().boot
}

fn is_linked(cluster: &Cluster) -> bool {
    let end = (0, cluster.nodes[1].id());
    cluster.watches.ends.get(&end).is_some_and(|open| cluster.is_whole(end, *open))
}

/// What the trace says within a time, about the link.
fn said(cluster: &mut Cluster, span: Duration, what: &str) -> bool {
    let steps = span.as_millis() / 10;
    (0..steps).any(|_| {
        cluster.run(Duration::from_millis(10)).unwrap();
        cluster.trace.tail().any(|line| line.contains(what))
    })
}

fn ping(cluster: &mut Cluster) {
    let exchange = Exchange { from: 0, from_boot: boot_of(cluster, 0), id: ID, to: 0 };
    let peer = cluster.nodes[1].id();
    let body = meshnode::wire::encode(&Request { ask: Some(Ask::Ping(Nothing {})) });
    cluster.ping_link(exchange, peer, body, Duration::from_millis(500));
}

#[test]
fn a_killed_process_is_told_by_its_kernel_and_a_lost_host_by_nobody() {
    let mut cluster = watching();
    cluster.crash(1);
    assert!(said(&mut cluster, Duration::from_millis(50), "n0    loses its watch link to n1"));
    let mut cluster = watching();
    cluster.lose_host(1);
    assert!(!said(&mut cluster, Duration::from_secs(15), "loses its watch link"));
    // The new process's kernel knows nothing of the old connection.
    cluster.start(1);
    assert!(said(&mut cluster, Duration::from_secs(16), "loses its watch link"));
    assert!(said(&mut cluster, Duration::from_secs(5), "has a watch link to n1"));
}

#[test]
fn a_node_that_leaves_says_goodbye() {
    let mut cluster = watching();
    cluster.leave(1);
    assert!(!said(&mut cluster, Duration::from_secs(5), "loses its watch link"));
    assert!(!is_linked(&cluster));
}

#[test]
fn a_ping_over_a_link_tells_a_process_that_stands_still_from_a_host_that_is_gone() {
    for (stop, failure) in [
        (Cluster::pause as fn(&mut Cluster, usize, Duration), "the host answers, the process does not"),
        (Cluster::suspend, "timed out"),
        (|cluster, node, _| cluster.lose_host(node), "timed out"),
        (|cluster, node, _| cluster.crash(node), "unreachable"),
        (|cluster, _, _| cluster.partition(&[vec![0, 2], vec![1]]), "timed out"),
    ] {
        let mut cluster = watching();
        stop(&mut cluster, 1, Duration::from_secs(3));
        cluster.run(Duration::from_millis(50)).unwrap();
        ping(&mut cluster);
        assert!(said(&mut cluster, Duration::from_secs(1), failure), "not {failure}");
    }
    let mut cluster = watching();
    ping(&mut cluster);
    assert!(!said(&mut cluster, Duration::from_secs(1), "failed"));
}

#[test]
fn links_that_are_reset_while_both_ends_live_are_made_anew() {
    let mut cluster = watching();
    cluster.break_links(1);
    assert!(said(&mut cluster, Duration::from_millis(50), "n0    loses its watch link to n1"));
    cluster.run(Duration::from_secs(3)).unwrap();
    assert!(is_linked(&cluster));
}

#[test]
fn a_connection_shows_what_is_at_an_address() {
    type Fault = fn(&mut Cluster);
    let faults: [(Fault, &str); 5] = [
        (|_| (), "connects to n1: Proven"),
        (|cluster| cluster.crash(1), "connects to n1: Refused"),
        (|cluster| cluster.lose_host(1), "connects to n1: Silent"),
        (|cluster| cluster.pause(1, Duration::from_secs(9)), "connects to n1: Silent"),
        (
            |cluster| {
                cluster.crash(1);
                let heir = cluster.add();
                cluster.move_to_address_of(heir, 1);
                cluster.start(heir);
            },
            "connects to n1: OtherPeer",
        ),
    ];
    for (fault, outcome) in faults {
        let mut cluster = watching();
        fault(&mut cluster);
        let (boot, peer, addr) = (boot_of(&cluster, 0), cluster.nodes[1].id(), cluster.nodes[1].addr);
        cluster.connect(0, boot, ID, peer, addr);
        assert!(cluster.trace.tail().any(|line| line.contains(outcome)), "not {outcome}");
    }
}

#[test]
fn a_suspended_machine_does_not_count_the_time() {
    let mut cluster = watching();
    let local = |cluster: &Cluster| cluster.nodes[1].process.as_ref().unwrap().local(cluster.now);
    let before = local(&cluster);
    cluster.suspend(1, Duration::from_secs(100));
    cluster.run(Duration::from_secs(101)).unwrap();
    assert_eq!(local(&cluster).since(before), Duration::from_secs(1));
    cluster.pause(1, Duration::from_secs(100));
    cluster.run(Duration::from_secs(101)).unwrap();
    assert_eq!(local(&cluster).since(before), Duration::from_secs(102));
}

#[test]
fn a_slow_processor_sees_its_inputs_late() {
    let mut cluster = watching();
    let waits = |cluster: &Cluster| cluster.nodes[1].process.as_ref().unwrap().backlog.len();
    cluster.slow_down(1, Duration::from_millis(500));
    cluster.restart(2, Restart::DiskKept);
    cluster.run(Duration::from_secs(3)).unwrap();
    assert!(waits(&cluster) > 2);
    cluster.slow_down(1, Duration::ZERO);
    cluster.run(Duration::from_secs(30)).unwrap();
    assert_eq!(waits(&cluster), 0);
}
