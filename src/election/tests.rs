//! The election by itself; stories of whole meshes are in `mesh`.

use super::{Candidate, Election, Output};
use crate::id::{IdHash, Identity, NodeId};
use crate::time::{Duration, Instant};

fn id(n: u8) -> NodeId {
    Identity::from_secret(&[n; 32]).id()
}

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

fn candidate(n: u8, priority: i32, epoch: u64, leading_term: u64) -> Candidate {
    Candidate::new(id(n), priority, epoch, leading_term)
}

/// The machine of node `n` with a hold-down of two seconds.
fn election(n: u8) -> Election {
    Election::new(id(n).hash(), Duration::from_secs(2))
}

fn outputs(election: &mut Election) -> Vec<Output> {
    std::iter::from_fn(|| election.poll_output()).collect()
}

#[test]
fn the_rank_is_priority_then_oldest_boot_then_id() {
    let (low, high) = if id(1) < id(2) { (1, 2) } else { (2, 1) };
    let order =
        [candidate(3, 5, 99, 0), candidate(4, 0, 10, 0), candidate(low, 0, 20, 0), candidate(high, 0, 20, 0)];
    for pair in order.windows(2) {
        assert!(pair[0].rank < pair[1].rank, "{pair:?}");
    }
}

#[test]
fn the_best_leads_after_the_hold_down_and_one_read_of_the_store_which_gives_the_term() {
    let mut e = election(1);
    e.handle_candidates(vec![candidate(1, 0, 1, 0), candidate(2, 0, 2, 0)], at(0));
    assert_eq!(e.poll_timeout(), Some(at(2_000)));
    e.handle_timeout(at(1_999));
    assert_eq!(outputs(&mut e), []);
    e.handle_timeout(at(2_000));
    assert_eq!(outputs(&mut e), [Output::ReadStore]);
    e.handle_stored(Some(41), at(2_010));
    assert_eq!(outputs(&mut e), [Output::Lead(42), Output::Leader(Some(id(1).hash()))]);
    assert_eq!((e.leading_term(), e.term()), (42, 42));
}

#[test]
fn the_others_ask_the_better_ones_and_lead_only_when_nobody_answers() {
    let candidates = vec![candidate(1, 0, 1, 0), candidate(2, 0, 2, 0)];
    let mut e = election(2);
    e.handle_candidates(candidates.clone(), at(0));
    e.handle_timeout(at(3_000));
    assert_eq!(outputs(&mut e), [Output::Election { to: id(1).hash(), term: 0 }]);
    e.handle_answer(id(1).hash(), 0, None, at(3_100));
    e.handle_timeout(at(4_100));
    assert_eq!(outputs(&mut e), [], "somebody better will lead");
    let mut e = election(2);
    e.handle_candidates(candidates, at(0));
    e.handle_timeout(at(3_000));
    e.handle_timeout(at(4_000));
    assert!(outputs(&mut e).contains(&Output::ReadStore), "nobody answered");
}

#[test]
fn an_election_is_answered_by_whoever_may_lead_or_knows_the_leader() {
    let mut e = election(1);
    e.handle_election(id(2).hash(), 5, at(0));
    assert_eq!(outputs(&mut e), [], "neither");
    e.handle_candidates(vec![candidate(1, 0, 1, 0)], at(0));
    e.handle_election(id(2).hash(), 5, at(1));
    assert_eq!(outputs(&mut e), [Output::Answer { to: id(2).hash(), term: 5, leader: None }]);
}

#[test]
fn a_joiner_of_a_better_rank_does_not_preempt() {
    let mut e = election(1);
    e.handle_candidates(vec![candidate(1, 100, 1, 0), candidate(2, 0, 2, 7)], at(0));
    assert_eq!(outputs(&mut e), [Output::Leader(Some(id(2).hash()))]);
    assert_eq!(e.poll_timeout(), None, "it waits for nothing");
}

#[test]
fn of_two_incumbents_the_better_ranked_one_stays_whatever_their_terms() {
    let mut e = election(2);
    e.handle_candidates(vec![candidate(2, 0, 2, 0)], at(0));
    e.handle_timeout(at(2_000));
    e.handle_stored(None, at(2_001));
    outputs(&mut e);
    e.handle_candidates(vec![candidate(2, 0, 2, 1), candidate(3, 0, 3, 9)], at(3_000));
    assert_eq!(outputs(&mut e), [], "a worse one has a higher term, and that does not matter");
    e.handle_candidates(vec![candidate(1, 0, 1, 1), candidate(2, 0, 2, 1)], at(4_000));
    assert_eq!(outputs(&mut e), [Output::Leader(Some(id(1).hash())), Output::StepDown]);
}

#[test]
fn losing_eligibility_ends_the_lead() {
    let mut e = election(1);
    e.handle_candidates(vec![candidate(1, 0, 1, 0)], at(0));
    e.handle_timeout(at(2_000));
    e.handle_stored(None, at(2_001));
    outputs(&mut e);
    e.handle_candidates(Vec::new(), at(3_000));
    assert_eq!(outputs(&mut e), [Output::Leader(None), Output::StepDown]);
    assert_eq!(e.leading_term(), 0);
}

#[test]
fn a_coordinator_is_believed_before_its_manifest_but_not_for_ever() {
    let mut e = election(2);
    e.handle_candidates(vec![candidate(1, 0, 1, 0), candidate(2, 0, 2, 0)], at(0));
    e.handle_coordinator(id(1).hash(), 3, at(100));
    assert_eq!((e.leader(), e.term()), (Some(id(1).hash()), 3));
    e.handle_timeout(at(10_100));
    assert_eq!(e.leader(), None, "its manifest never said so");
}

#[test]
fn a_leader_that_appears_during_the_read_is_followed() {
    let mut e = election(1);
    e.handle_candidates(vec![candidate(1, 0, 1, 0), candidate(2, 0, 2, 0)], at(0));
    e.handle_timeout(at(2_000));
    e.handle_coordinator(id(2).hash(), 1, at(2_001));
    outputs(&mut e);
    e.handle_stored(None, at(2_002));
    assert_eq!(outputs(&mut e), []);
    assert_eq!(e.leading_term(), 0);
}

#[test]
fn a_store_that_fails_makes_no_leader() {
    let mut e = election(1);
    e.handle_candidates(vec![candidate(1, 0, 1, 0)], at(0));
    e.handle_timeout(at(2_000));
    e.handle_candidates(Vec::new(), at(2_001));
    e.handle_store_failed(at(2_002));
    assert!(!outputs(&mut e).iter().any(|o| matches!(o, Output::Lead(_))));
    assert_eq!(e.poll_timeout(), None);
}

#[test]
fn coordinators_without_manifests_are_bounded() {
    let mut e = election(1);
    for stranger in 0..1_000 {
        e.handle_coordinator(IdHash(stranger), 5, at(stranger));
    }
    assert!(e.announced.len() <= 16, "{}", e.announced.len());
    assert!(e.knows_coordinator(IdHash(999), 5), "the latest one is believed");
}

#[test]
fn beyond_the_highest_term_there_is_still_a_leader() {
    let mut e = election(1);
    e.handle_candidates(vec![candidate(1, 0, 1, 0)], at(0));
    e.handle_timeout(at(2_000));
    e.handle_stored(Some(u64::MAX), at(2_010));
    assert_eq!((e.leading_term(), e.leader()), (u64::MAX, Some(id(1).hash())));
}
