//! Networks that work for some and not for others: what is annotated, and who does not die of it.

use super::cluster::Cluster;
use super::settings::id;
use crate::mesh::Event;
use crate::time::Duration;
use crate::view::Status;

const SECOND: Duration = Duration::from_secs(1);

fn deaths(cluster: &Cluster) -> Vec<String> {
    let dead = cluster.events.iter().filter(|(_, event)| matches!(event, Event::Dead(_)));
    dead.map(|(node, event)| format!("n{node}: {event:?}")).collect()
}

#[test]
fn a_member_that_half_of_the_mesh_cannot_reach_is_unroutable_and_not_dead() {
    let mut cluster = Cluster::of(12);
    cluster.run(SECOND * 10);
    cluster.partition(&[11], &[0, 1, 2, 3, 4, 5], true);
    let all: Vec<usize> = (0..11).collect();
    let unroutable =
        |c: &mut Cluster| all.iter().all(|o| c.sees(*o, 11).is_some_and(|member| member.unroutable));
    let took = cluster.run_until(SECOND * 20, "n11 is unroutable for all", unroutable);
    assert!(took < SECOND * 15, "{took:?}");
    cluster.run(SECOND * 120);
    assert_eq!(deaths(&cluster), [""; 0]);
    assert!(unroutable(&mut cluster), "and stays so, as long as it is so");
    cluster.partition(&[11], &[0, 1, 2, 3, 4, 5], false);
    cluster.run_until(SECOND * 60, "it is routable again", |c| {
        all.iter().all(|o| c.sees(*o, 11).is_some_and(|member| !member.unroutable))
    });
}

#[test]
fn one_that_does_not_hear_some_of_the_others_kills_none_of_them() {
    let mut cluster = Cluster::of(12);
    cluster.run(SECOND * 10);
    // What these send does not reach n0, although all that n0 sends reaches them.
    for silent in [1, 2, 3, 4, 5] {
        cluster.cut.insert((silent, 0));
    }
    cluster.run(SECOND * 300);
    assert_eq!(deaths(&cluster), [""; 0]);
    let all: Vec<usize> = (0..12).collect();
    assert!(cluster.all_hold(&all, &all, Status::Alive));
}

#[test]
fn a_member_whose_datagrams_are_all_lost_lives_by_its_links() {
    let mut cluster = Cluster::of(8);
    cluster.run(SECOND * 10);
    cluster.without_datagrams.insert(7);
    cluster.run(SECOND * 120);
    let others = [0, 1, 2, 3, 4, 5, 6];
    assert!(cluster.all_hold(&others, &[7], Status::Alive), "{:?}", deaths(&cluster));
    let told = cluster
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::Evidence { subject, .. } if *subject == id(7)));
    assert!(told, "and `why` says what is going on");
}
