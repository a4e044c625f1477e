//! Two processes with one key, and what only looks like them.

use super::cluster::{Cluster, Delivery};
use super::settings::id;
use crate::mesh::Event;
use crate::time::Duration;
use crate::view::Status;

const SECOND: Duration = Duration::from_secs(1);

/// Those that went silent, and those that were told that another one had to.
fn told(cluster: &Cluster) -> (Vec<usize>, Vec<usize>) {
    let told = |which: bool| {
        let is = |e: &Event| matches!(e, Event::Cloned { gives_way, .. } if *gives_way == which);
        let mut nodes: Vec<usize> = cluster.events.iter().filter(|(_, e)| is(e)).map(|(n, _)| *n).collect();
        nodes.dedup();
        nodes
    };
    (told(true), told(false))
}

#[test]
fn two_clones_that_boot_in_the_same_second_are_found_and_one_goes_on() {
    for order in [[3, 7], [7, 3]] {
        let mut cluster = Cluster::of(3);
        cluster.clones.insert(7, 3);
        cluster.copy_disk(3, 7);
        for node in order {
            cluster.start(node);
        }
        cluster.run_until(SECOND * 5, "one of them goes silent", |c| told(c).0.len() == 1);
        let (silent, going_on) = (told(&cluster).0[0], 10 - told(&cluster).0[0]);
        cluster.run(SECOND * 20);
        assert_eq!(told(&cluster), (vec![silent], vec![going_on]), "both say so");
        assert!(cluster.view(going_on).ready && !cluster.view(silent).ready);
        let quarantined = |node| cluster.nodes[&node].mesh.is_quarantined();
        assert!(quarantined(silent) && !quarantined(going_on));
        let at = cluster.view(going_on).member(&id(3)).unwrap().addr;
        for observer in 0..3 {
            let member = cluster.sees(observer, 3).unwrap();
            assert_eq!(
                (member.status, member.addr),
                (Status::Alive, at),
                "n{observer} holds the one that is left"
            );
        }
        let version = cluster.sees(0, 3).unwrap().version;
        cluster.run(SECOND * 60);
        assert_eq!(cluster.sees(0, 3).unwrap().version, version, "and there is no war of refutations");
    }
}

#[test]
fn a_clone_that_boots_a_few_seconds_later_is_found_at_once_too() {
    let mut cluster = Cluster::of(4);
    cluster.clones.insert(7, 3);
    cluster.copy_disk(3, 7);
    cluster.start(7);
    cluster.run_until(SECOND * 6, "one of them goes silent", |c| told(c).0.len() == 1);
    cluster.run(SECOND * 60);
    let (silent, going_on) = told(&cluster);
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert!(going_on.contains(&(10 - silent[0])), "{going_on:?}");
    assert!(cluster.all_hold(&[0, 1, 2], &[3], Status::Alive));
}

#[test]
fn restarts_within_seconds_are_no_clones() {
    let mut cluster = Cluster::of(4);
    for pause in [0, 50, 300, 900, 2_000, 4_000] {
        cluster.kill(3);
        cluster.run(Duration::from_millis(pause / 2));
        if pause == 900 {
            cluster.lose_disk(3);
        }
        cluster.start(3);
        cluster.run(Duration::from_millis(pause));
    }
    cluster.run(SECOND * 20);
    assert_eq!(told(&cluster), (vec![], vec![]));
    assert!(cluster.all_hold(&[0, 1, 2], &[3], Status::Alive));
}

#[test]
fn replayed_datagrams_of_an_earlier_boot_are_no_clone() {
    let mut cluster = Cluster::of(4);
    cluster.tape = Some(Vec::new());
    cluster.run(SECOND * 8);
    cluster.kill(3);
    let tape = cluster.tape.take().unwrap();
    cluster.start(3);
    cluster.run(SECOND);
    let of_three = tape.into_iter().filter(|(_, source, _)| super::settings::node_at(*source) == 3);
    let mut replayed = 0;
    for (to, source, bytes) in of_three {
        cluster.push(Duration::ZERO, to, Delivery::Datagram(source, bytes));
        cluster.run(Duration::from_millis(100));
        replayed += 1;
    }
    assert!(replayed > 10, "{replayed}");
    assert_eq!(told(&cluster), (vec![], vec![]));
    cluster.run(SECOND * 10);
    assert!(cluster.all_hold(&[0, 1, 2], &[3], Status::Alive));
}
