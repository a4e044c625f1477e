//! Meshes in which nodes speak different versions of the wire, as during a rolling upgrade.

use super::cluster::{Cluster, Delivery};
use super::settings::{config, id};
use super::speech::{Speech, UNKNOWN_FIELDS, extended};
use crate::mesh::{Detector, Event, RequestId};
use crate::time::Duration;
use crate::view::Status;
use crate::wire::manifest::SignedManifest;

const SECOND: Duration = Duration::from_secs(1);

/// A mesh of six, of which some speak another version.
fn mixed(speech: Speech, speakers: &[usize]) -> Cluster {
    let mut cluster = Cluster::new();
    for node in 0..6 {
        let mut config = config(node, usize::from(node != 0));
        if speakers.contains(&node) {
            cluster.speeches.insert(node, speech);
            if speech == Speech::Older {
                config.detector = Detector::Lifeguard;
            }
        }
        cluster.start_with(node, config);
        cluster.run(Duration::from_millis(50));
    }
    cluster.run(SECOND * 10);
    cluster
}

fn refused(cluster: &Cluster) -> Vec<String> {
    let refused = cluster.events.iter().filter(|(_, event)| matches!(event, Event::Refused { .. }));
    refused.map(|(node, event)| format!("n{node}: {event:?}")).collect()
}

#[test]
fn two_wire_versions_live_in_one_mesh() {
    let all = [0, 1, 2, 3, 4, 5];
    let mut cluster = mixed(Speech::Later, &[1, 4, 5]);
    assert!(cluster.all_hold(&all, &all, Status::Alive));
    assert_eq!(refused(&cluster), [""; 0], "nothing that a later version says is an error");
    let leader = cluster.leader(0);
    assert!(leader.is_some() && all.iter().all(|node| cluster.leader(*node) == leader));
    // One of each version dies, and is noticed by both.
    for victim in [5, 3] {
        cluster.kill(victim);
        let others: Vec<usize> = cluster.nodes.keys().copied().collect();
        cluster.run_until(SECOND * 10, "it is dead everywhere", |c| {
            c.all_hold(&others, &[victim], Status::Dead)
        });
    }
    cluster.start(5);
    cluster.run_until(SECOND * 5, "it is back", |c| c.all_hold(&[0, 1, 2, 4], &[5], Status::Alive));
    cluster.run(SECOND * 15);
    cluster.questions = 0;
    cluster.run(SECOND * 30);
    assert_eq!(refused(&cluster), [""; 0]);
}

#[test]
fn manifests_of_a_later_version_are_forwarded_byte_for_byte() {
    // n4 and n5 never meet: what they know of each other came through nodes of this version.
    let mut cluster = Cluster::new();
    cluster.partition(&[4], &[5], true);
    for node in 0..6 {
        if node >= 4 {
            cluster.speeches.insert(node, Speech::Later);
        }
        cluster.start(node);
        cluster.run(Duration::from_millis(50));
    }
    cluster.run(SECOND * 4);
    let written = {
        let own = cluster.nodes[&4].mesh.membership.members().held(id(4).hash()).unwrap();
        extended(4, own.signed.bytes())
    };
    assert!(written.windows(UNKNOWN_FIELDS.len()).any(|window| window == UNKNOWN_FIELDS));
    for observer in [0, 1, 2, 3, 5] {
        let held = cluster.nodes[&observer].mesh.membership.members().held(id(4).hash());
        let bytes = held.map(|held| held.signed.bytes().to_vec()).unwrap_or_default();
        assert_eq!(bytes, written, "as n{observer} holds it");
        assert!(SignedManifest::verify(&bytes).is_ok());
    }
}

#[test]
fn a_question_of_a_later_version_has_an_empty_answer() {
    let mut cluster = Cluster::of(2);
    cluster.tape = Some(Vec::new());
    cluster.push(Duration::ZERO, 0, Delivery::Request(1, RequestId(77), UNKNOWN_FIELDS.to_vec()));
    cluster.run(Duration::from_millis(1));
    assert_eq!(refused(&cluster), [""; 0]);
    assert_eq!(cluster.answers.last(), Some(&(1, Vec::new())), "neither refused nor misunderstood");
}

#[test]
fn a_mesh_that_is_half_upgraded_to_witnesses_finds_its_dead_and_kills_nobody_else() {
    let mut cluster = mixed(Speech::Older, &[0, 2, 4]);
    let all = [0, 1, 2, 3, 4, 5];
    assert!(cluster.all_hold(&all, &all, Status::Alive));
    cluster.run(SECOND * 120);
    let deaths = |c: &Cluster| c.events.iter().filter(|(_, e)| matches!(e, Event::Dead(_))).count();
    assert_eq!(deaths(&cluster), 0, "in a calm mesh nobody dies");
    for (victim, others) in [(4, vec![0, 1, 2, 3, 5]), (5, vec![0, 1, 2, 3])] {
        cluster.partition(&[victim], &all, true);
        cluster.run_until(SECOND * 40, "it is dead everywhere", |c| {
            c.all_hold(&others, &[victim], Status::Dead)
        });
        assert!(cluster.all_hold(&others, &others, Status::Alive));
    }
}
