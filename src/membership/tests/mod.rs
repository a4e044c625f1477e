//! The precedence rule, the timeouts and the queue of facts, by themselves; stories of whole meshes are in `mesh`.

mod death;
mod traps;

use std::net::SocketAddr;

use super::awareness::Awareness;
use super::dissemination::{Dissemination, retransmit_limit};
use super::suspicion::{Suspicion, bounds, timeout};
use super::{Claim, Destination, Detector, MAX_INCARNATION_JUMP, Membership, Output, PERIOD, Start};
use crate::id::{IdHash, Identity, NodeId, Version};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::{Body, Fact, FactKind, Packet};

const STATUSES: [Status; 4] = [Status::Alive, Status::Suspect, Status::Dead, Status::Left];

fn version(epoch: u64, incarnation: u64) -> Version {
    Version { epoch, incarnation }
}

fn id(n: u8) -> NodeId {
    Identity::from_secret(&[n; 32]).id()
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1000 + u16::from(n)))
}

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

/// Member 0 alone, before its gate.
fn alone(detector: Detector, seeds: usize, peers: Vec<SocketAddr>) -> Membership {
    let start = Start {
        cluster: "test".to_owned(),
        id: id(0),
        version: version(10, 0),
        boot_nonce: 1,
        addr: Some(addr(0)),
        seeds,
        peers,
        detector,
        seed: [9; 32],
    };
    Membership::new(start, at(0))
}

/// A member 0 that knows the others, past its gate, with its outputs drained.
fn knowing(others: u8) -> Membership {
    knowing_by(Detector::Witness, others)
}

fn knowing_by(detector: Detector, others: u8) -> Membership {
    let mut membership = alone(detector, 0, Vec::new());
    for other in 1..=others {
        membership.introduce(id(other), 10, Some(addr(other)), 77, at(0));
    }
    membership.allow_accusations(at(0));
    outputs(&mut membership);
    membership
}

fn outputs(membership: &mut Membership) -> Vec<Output> {
    std::iter::from_fn(|| membership.poll_output()).collect()
}

fn status(membership: &Membership, n: u8) -> Status {
    membership.member(id(n).hash()).unwrap().claim.status
}

fn fact(n: u8, version: Version, kind: FactKind, by: u8) -> Fact {
    Fact { by: id(by).hash().0, ..Fact::about(id(n).hash(), version, kind) }
}

#[test]
fn the_higher_version_wins_and_at_the_same_one_the_worse_news() {
    let versions = [version(1, 0), version(1, 1), version(2, 0)];
    for (i, a) in versions.into_iter().enumerate() {
        for (j, b) in versions.into_iter().enumerate() {
            for (k, x) in STATUSES.into_iter().enumerate() {
                for (l, y) in STATUSES.into_iter().enumerate() {
                    let wins = Claim { version: a, status: x }.supersedes(Claim { version: b, status: y });
                    assert_eq!(wins, (i, k) > (j, l), "{a:?} {x:?} over {b:?} {y:?}");
                }
            }
        }
    }
}

#[test]
fn the_suspicion_timeout_has_lifeguards_bounds() {
    for (members, min_s) in [(1, 4.0), (10, 4.0), (100, 8.0), (1_000, 12.0), (10_000, 16.0)] {
        let (min, max) = bounds(members, PERIOD);
        assert!((min.as_secs_f64() - min_s).abs() < 0.01, "{members}: {min:?}");
        assert_eq!(max, min * 6);
    }
    let (min, max) = (Duration::from_secs(4), Duration::from_secs(24));
    assert_eq!(timeout(min, max, 0, 2), max);
    assert!(timeout(min, max, 1, 2) < max && timeout(min, max, 1, 2) > min);
    assert_eq!(timeout(min, max, 2, 2), min);
    assert_eq!(timeout(min, max, 0, 0), min, "nobody is there to confirm");
}

#[test]
fn only_distinct_accusers_shorten_a_suspicion() {
    let mut suspicion = Suspicion::new(IdHash(1), 10, 0, Detector::Lifeguard, at(0));
    let longest = suspicion.deadline();
    assert!(!suspicion.confirm(IdHash(1)), "the first accuser again");
    assert_eq!(suspicion.deadline(), longest);
    assert!(suspicion.confirm(IdHash(2)));
    assert!(!suspicion.confirm(IdHash(2)), "the second one again");
    assert!(suspicion.confirm(IdHash(3)));
    assert_eq!(suspicion.deadline(), at(4_000));
    assert!(!suspicion.confirm(IdHash(4)), "it cannot become shorter, so others need not hear of it");
}

#[test]
fn a_node_that_misses_nacks_trusts_itself_less() {
    let mut awareness = Awareness::new(true);
    awareness.handle_failure(3, 0);
    assert_eq!(awareness.score(), 0, "all relays answered with a nack: it is the target that fails");
    awareness.handle_failure(3, 3);
    assert_eq!(awareness.stretch(PERIOD), PERIOD * 4);
    for _ in 0..9 {
        awareness.handle_failure(0, 0);
    }
    assert_eq!(awareness.score(), 8, "and no worse");
    awareness.handle_success();
    assert_eq!(awareness.score(), 7);
}

#[test]
fn urgent_facts_go_first_and_no_class_starves() {
    let mut queue = Dissemination::default();
    let kinds = [FactKind::Load, FactKind::Manifest, FactKind::Joined, FactKind::Dead];
    for subject in 0..400 {
        for kind in kinds {
            // Different subjects per kind, so that none replaces another.
            let subject = IdHash(subject * 10 + kind as u64);
            queue.add(Fact { by: 1, value: 1, ..Fact::about(subject, version(1_800_000_000, 1), kind) });
        }
    }
    let taken = queue.fill(1_000, 8);
    assert_eq!(taken[0].kind(), FactKind::Dead);
    let count = |kind| taken.iter().filter(|fact| fact.kind() == kind).count();
    let dead = count(FactKind::Dead);
    for lower in [FactKind::Joined, FactKind::Manifest, FactKind::Load] {
        assert!((1..dead).contains(&count(lower)), "{lower:?}: {}", count(lower));
    }
    let bytes: usize = taken.iter().map(Fact::packed_len).sum();
    assert!(bytes <= 1_000, "{bytes}");
}

#[test]
fn load_takes_a_small_part_of_a_datagram_however_much_there_is() {
    let mut queue = Dissemination::default();
    for subject in 0..100 {
        queue.add(Fact { value: 7, ..Fact::about(IdHash(subject), Version::default(), FactKind::Load) });
    }
    let bytes: usize = queue.fill(1_000, 8).iter().map(Fact::packed_len).sum();
    assert!((1..=50).contains(&bytes), "{bytes}");
}

#[test]
fn a_fact_is_told_as_often_as_the_limit_says_and_a_newer_one_replaces_it() {
    assert_eq!([1, 9, 99, 100, 10_000].map(retransmit_limit), [4, 4, 8, 12, 20]);
    let mut queue = Dissemination::default();
    queue.add(Fact::about(IdHash(1), version(1, 0), FactKind::Joined));
    queue.add(Fact::about(IdHash(1), version(1, 1), FactKind::Left));
    assert_eq!(queue.len(), 1);
    for _ in 0..4 {
        assert_eq!(queue.fill(1_000, 4)[0].kind(), FactKind::Left);
    }
    assert!(queue.fill(1_000, 4).is_empty());
    queue.add(Fact::about(IdHash(1), version(1, 1), FactKind::Dead));
    let told = std::iter::repeat_with(|| queue.fill(1_000, 4)).take_while(|told| !told.is_empty()).count();
    assert_eq!(told, 12, "after the pushes it still rides along");
}

#[test]
fn the_queue_of_facts_is_bounded_and_drops_the_least_urgent() {
    let mut queue = Dissemination::default();
    for subject in 0..20_000 {
        let kind = if subject < 100 { FactKind::Dead } else { FactKind::Load };
        queue.add(Fact::about(IdHash(subject), version(1, 0), kind));
    }
    assert_eq!(queue.len(), 8192);
    let dead = queue.fill(usize::MAX / 2, 4).iter().filter(|fact| fact.kind() == FactKind::Dead).count();
    assert_eq!(dead, 100);
}

#[test]
fn the_subject_refutes_an_accusation_to_the_accused_incarnation_plus_one() {
    for kind in [FactKind::Suspect, FactKind::Dead, FactKind::Left] {
        let mut membership = knowing(3);
        membership.handle_fact(&fact(0, version(10, 4), kind, 1), id(1).hash(), at(100));
        assert_eq!(membership.version(), version(10, 5), "{kind:?}");
        let told = membership.facts_for(None, 1_000);
        assert!(told.iter().any(|f| f.kind() == FactKind::Alive && f.incarnation == 5), "{told:?}");
        let direct = |o: &Output| matches!(o, Output::Send { to: Destination::Member { id: to, .. }, .. } if *to == id(1).hash());
        assert!(outputs(&mut membership).iter().any(direct), "the accuser hears it at once");
    }
}

#[test]
fn an_incarnation_cannot_be_pinned_at_its_end() {
    let mut membership = knowing(2);
    let far = version(10, MAX_INCARNATION_JUMP + 1);
    membership.handle_fact(&fact(0, far, FactKind::Dead, 1), id(1).hash(), at(1));
    membership.handle_fact(&fact(2, far, FactKind::Dead, 1), id(1).hash(), at(1));
    assert_eq!(membership.version(), version(10, 0));
    assert_eq!(status(&membership, 2), Status::Alive);
    assert_eq!(outputs(&mut membership).iter().filter(|o| matches!(o, Output::Refused(_))).count(), 2);
}

#[test]
fn a_stale_suspicion_does_not_kill_after_a_refutation() {
    let mut membership = knowing_by(Detector::Lifeguard, 3);
    membership.handle_fact(&fact(2, version(10, 0), FactKind::Suspect, 1), id(1).hash(), at(0));
    assert_eq!(status(&membership, 2), Status::Suspect);
    membership.handle_fact(&fact(2, version(10, 1), FactKind::Alive, 2), id(2).hash(), at(3_900));
    membership.handle_fact(&fact(2, version(10, 1), FactKind::Suspect, 1), id(1).hash(), at(3_950));
    membership.expire_suspicions(at(24_100));
    assert_eq!(
        status(&membership, 2),
        Status::Suspect,
        "the timer of the first suspicion is over, not this one's"
    );
    membership.expire_suspicions(at(28_000));
    assert_eq!(status(&membership, 2), Status::Dead);
}

#[test]
fn death_by_hearsay_is_only_a_suspicion_but_a_leave_is_taken_as_it_is() {
    for (told, held) in [(Status::Dead, Status::Suspect), (Status::Left, Status::Left)] {
        let mut membership = knowing(2);
        let claim = Claim { version: version(10, 0), status: told };
        membership.handle_tombstone(id(2), claim, Duration::from_secs(5), id(1).hash(), at(0));
        assert_eq!(status(&membership, 2), held);
    }
}

#[test]
fn tombstones_keep_their_age_and_old_ones_are_refused() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    let mut membership = knowing(1);
    let claim = Claim { version: version(10, 0), status: Status::Dead };
    membership.handle_tombstone(id(5), claim, hours(11), id(1).hash(), at(0));
    membership.handle_tombstone(id(6), claim, hours(12), id(1).hash(), at(0));
    assert_eq!(membership.member(id(5).hash()).unwrap().age(at(1_000)), hours(11) + Duration::from_secs(1));
    assert!(membership.member(id(6).hash()).is_none());
    membership.timers.set(super::Timer::Reap, at(0));
    membership.handle_timeout(Instant::ORIGIN + hours(13));
    assert!(membership.member(id(5).hash()).is_none(), "deleted at 24 hours");
}

#[test]
fn a_new_boot_needs_its_manifest_before_it_counts() {
    let mut membership = knowing(2);
    membership.handle_fact(&fact(2, version(10, 0), FactKind::Dead, 1), id(1).hash(), at(0));
    outputs(&mut membership);
    membership.handle_fact(&fact(2, version(11, 0), FactKind::Alive, 1), id(1).hash(), at(0));
    assert_eq!(status(&membership, 2), Status::Dead);
    let wanted = outputs(&mut membership);
    assert!(wanted.iter().any(|o| matches!(o, Output::Wanted { epoch: 11, .. })), "{wanted:?}");
    membership.introduce(id(2), 11, Some(addr(2)), 78, at(0));
    assert_eq!(status(&membership, 2), Status::Alive);
}

#[test]
fn a_manifest_of_the_boot_that_is_dead_resurrects_nobody() {
    let mut membership = knowing(2);
    membership.handle_fact(&fact(2, version(10, 3), FactKind::Dead, 1), id(1).hash(), at(0));
    membership.introduce(id(2), 10, Some(addr(2)), 79, at(0));
    assert_eq!(status(&membership, 2), Status::Dead);
}

#[test]
fn whoever_is_suspected_hears_of_it_in_the_next_datagram() {
    let mut membership = knowing(3);
    membership.handle_fact(&fact(2, version(10, 0), FactKind::Suspect, 1), id(1).hash(), at(0));
    let first = &membership.facts_for(Some(id(2).hash()), 1_000)[0];
    assert_eq!((first.subject, first.kind()), (id(2).hash().0, FactKind::Suspect));
    assert_ne!(membership.facts_for(Some(id(3).hash()), 0).first().map(Fact::kind), Some(FactKind::Suspect));
}

#[test]
fn a_dead_member_that_speaks_is_told_but_not_more_often_than_the_limit() {
    let mut membership = knowing(2);
    membership.handle_fact(&fact(2, version(10, 0), FactKind::Dead, 1), id(1).hash(), at(0));
    outputs(&mut membership);
    let body = Some(Body::Election(crate::wire::packet::Election::default()));
    let notice = Packet { from: id(2).hash().0, epoch: 10, members: 3, ..Packet::default() };
    membership.handle_packet(&notice, addr(2), at(10));
    assert!(outputs(&mut membership).is_empty(), "a notice is not answered by a notice, for ever");
    let packet = Packet { body, ..notice };
    for _ in 0..100 {
        membership.handle_packet(&packet, addr(2), at(10));
    }
    let notices = outputs(&mut membership).len();
    assert!((1..=21).contains(&notices), "{notices}");
}

#[test]
fn a_boot_that_lost_its_epoch_is_told_what_it_is_held_for() {
    for kind in [FactKind::Dead, FactKind::Left] {
        let mut membership = knowing(2);
        membership.handle_fact(&fact(2, version(10, 0), kind, 1), id(1).hash(), at(0));
        outputs(&mut membership);
        let packet = Packet { from: id(2).hash().0, epoch: 7, members: 1, ..Packet::default() };
        membership.handle_packet(&packet, addr(2), at(10));
        let told = outputs(&mut membership).into_iter().find_map(|output| {
            let Output::Tell { to: Destination::Member { id, addr }, fact } = output else { return None };
            Some((id, addr, fact))
        });
        let (to, at, fact) = told.expect("it is told");
        assert_eq!((to, at), (id(2).hash(), addr(2)));
        assert_eq!((fact.kind(), fact.version()), (kind, version(10, 0)));
    }
}

#[test]
fn the_end_of_a_later_boot_ends_the_one_that_is_known() {
    let mut membership = knowing(2);
    let claim = Claim { version: version(11, 0), status: Status::Dead };
    membership.handle_tombstone(id(2), claim, Duration::from_secs(5), id(1).hash(), at(0));
    assert_eq!(status(&membership, 2), Status::Dead);
}

#[test]
fn before_its_gate_a_node_accuses_nobody() {
    let mut membership = alone(Detector::Lifeguard, 0, Vec::new());
    membership.introduce(id(1), 10, Some(addr(1)), 77, at(0));
    for millis in (0..20_000).step_by(50) {
        membership.handle_timeout(at(millis));
    }
    assert_eq!(status(&membership, 1), Status::Alive);
    membership.allow_accusations(at(20_000));
    for millis in (20_000..24_000).step_by(50) {
        membership.handle_timeout(at(millis));
    }
    assert_eq!(status(&membership, 1), Status::Suspect);
}

#[test]
fn a_lost_datagram_is_repeated_before_it_is_evidence() {
    let mut membership = knowing_by(Detector::Lifeguard, 4);
    membership.handle_timeout(at(0));
    let pinged = |o: &Output| {
        let Output::Send { to: Destination::Member { id, .. }, body: Some(Body::Ping(ping)) } = o else {
            return None;
        };
        Some((*id, *ping))
    };
    let (target, ping) = outputs(&mut membership).iter().find_map(pinged).unwrap();
    membership.handle_timeout(at(450));
    let after = outputs(&mut membership);
    let asked =
        after.iter().filter(|o| matches!(o, Output::Send { body: Some(Body::PingReq(_)), .. })).count();
    assert_eq!(asked, 3);
    assert_eq!(after.iter().find_map(pinged), Some((target, ping)), "the target gets a second chance too");
}

#[test]
fn former_peers_and_seeds_are_asked_until_somebody_is_met() {
    let mut membership = alone(Detector::Witness, 1, vec![addr(7)]);
    let mut joins = 0;
    let mut complaints = 0;
    for millis in (0..30_000).step_by(100) {
        membership.handle_timeout(at(millis));
        for output in outputs(&mut membership) {
            joins += u32::from(matches!(output, Output::Send { body: Some(Body::Join(_)), .. }));
            complaints += u32::from(matches!(output, Output::Unanswered));
        }
    }
    assert!((10..40).contains(&joins), "{joins}");
    assert_eq!(complaints, 1);
}

#[test]
fn where_a_member_died_it_is_asked_for_until_three_days_later() {
    let hours = |n: u64| Instant::ORIGIN + Duration::from_secs(n * 3600);
    let mut membership = knowing(2);
    membership.handle_fact(&fact(2, version(10, 0), FactKind::Dead, 1), id(1).hash(), at(0));
    membership.timers.set(super::Timer::Reap, at(0));
    membership.handle_timeout(hours(25));
    assert!(membership.member(id(2).hash()).is_none());
    assert_eq!(membership.former_addresses(hours(71)).collect::<Vec<_>>(), [addr(2)]);
    assert_eq!(membership.former_addresses(hours(73)).count(), 0);
}
