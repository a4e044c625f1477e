//! Why a member has the status that it has: the story that events tell, and what a node waits for meanwhile.

use super::cluster::Cluster;
use super::settings::id;
use crate::id::NodeId;
use crate::membership::Inquiry;
use crate::mesh::{Event, Waiting};
use crate::time::Duration;
use crate::view::Status;

const SECOND: Duration = Duration::from_secs(1);

/// What `observer` told of `subject`, in order.
fn story(cluster: &Cluster, observer: usize, subject: usize) -> Vec<String> {
    let line = |(by, event): &(usize, Event)| {
        let Event::Evidence { subject: of, text, .. } = event else { return None };
        (*by == observer && *of == id(subject)).then(|| text.to_string())
    };
    cluster.events.iter().filter_map(line).collect()
}

fn inquiry(cluster: &Cluster, observer: usize, subject: usize) -> Inquiry<NodeId> {
    cluster.nodes[&observer].mesh.inquiry(&id(subject), cluster.now).unwrap()
}

fn waits_for(inquiry: &Inquiry<NodeId>, what: Waiting) -> bool {
    inquiry.timers.iter().any(|(waiting, _)| *waiting == what)
}

#[test]
fn why_tells_who_accused_what_each_witness_saw_and_what_is_waited_for() {
    let mut cluster = Cluster::of(8);
    cluster.run(SECOND * 10);
    let calm = inquiry(&cluster, 0, 7);
    assert_eq!((calm.watchers.len(), calm.claim.status), (7, Status::Alive));
    assert!(waits_for(&calm, Waiting::Turn), "{calm:?}");
    assert!(calm.accusers.is_empty() && calm.witnesses.is_empty());
    cluster.partition(&[7], &[0, 1, 2, 3, 4, 5, 6], true);
    cluster.run_until(SECOND * 5, "somebody accuses n7", |c| (0..7).any(|n| !story(c, n, 7).is_empty()));
    let accuser = (0..7).find(|n| !story(&cluster, *n, 7).is_empty()).unwrap();
    let during = inquiry(&cluster, accuser, 7);
    assert!(waits_for(&during, Waiting::Accusation), "{during:?}");
    assert_eq!(during.witnesses.len(), 7);
    cluster.run_until(SECOND * 10, "n7 is dead", |c| c.all_hold(&[0, 1, 2, 3, 4, 5, 6], &[7], Status::Dead));
    let told = (0..7).map(|n| story(&cluster, n, 7)).find(|s| s.iter().any(|l| l.contains("on the word of")));
    let told = told.unwrap().join("\n");
    for part in [
        "accused in private: it missed its turn",
        "it does not answer, as seen",
        "declared dead on the word of",
    ] {
        assert!(told.contains(part), "{part:?} in:\n{told}");
    }
    let dead = inquiry(&cluster, accuser, 7);
    assert!(waits_for(&dead, Waiting::TombstoneFades) && waits_for(&dead, Waiting::TombstoneEnds));
    assert!(dead.watchers.is_empty());
}

#[test]
fn a_suspicion_shows_its_accusers_and_its_deadline() {
    let mut cluster = Cluster::of(3);
    cluster.partition(&[2], &[0, 1], true);
    cluster.run_until(SECOND * 10, "n2 is suspect", |c| c.status(0, 2) == Some(Status::Suspect));
    let suspected = inquiry(&cluster, 0, 2);
    assert!(waits_for(&suspected, Waiting::Suspicion), "{suspected:?}");
    assert!(!suspected.accusers.is_empty());
    cluster.run_until(SECOND * 20, "n2 is dead", |c| c.all_hold(&[0, 1], &[2], Status::Dead));
    let fired = (0..2).any(|n| story(&cluster, n, 2).iter().any(|l| l.contains("timer ran out")));
    assert!(fired, "the story says which timer fired");
}

#[test]
fn of_itself_a_node_tells_who_watches_it() {
    let cluster = Cluster::of(4);
    let own = inquiry(&cluster, 0, 0);
    assert_eq!((own.watchers.len(), own.claim.status), (3, Status::Alive));
    assert!(cluster.nodes[&0].mesh.inquiry(&id(77), cluster.now).is_none());
}
