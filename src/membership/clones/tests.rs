//! What proves that two processes share a key, and what does not.

use std::net::SocketAddr;

use super::{Answer, Boot, Clones, Finding, MAX_CHALLENGES, MAX_KNOWN};
use crate::id::IdHash;
use crate::time::{Duration, Instant};

const MEMBER: IdHash = IdHash(7);
const OLD: Boot = Boot { epoch: 10, nonce: 900 };
const NEW: Boot = Boot { epoch: 10, nonce: 901 };

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], n))
}

/// An answer that took 10 ms.
fn answer(boot: Boot, port: u16, answered: u64) -> Answer {
    Answer { boot, addr: Some(addr(port)), asked: at(answered - 10), answered: at(answered) }
}

fn clone_of(finding: Option<Finding>) -> Option<(u64, u64)> {
    match finding {
        Some(Finding::Clone { lower, higher }) => Some((lower.0.nonce, higher.0.nonce)),
        Some(Finding::AskAgain(_)) | None => None,
    }
}

#[test]
fn a_boot_that_answers_after_a_later_one_proves_a_clone_and_the_lower_gives_way() {
    let mut clones = Clones::default();
    assert_eq!(clones.handle_answer(MEMBER, answer(OLD, 1, 100)), None);
    let asked = clones.handle_answer(MEMBER, answer(NEW, 2, 200));
    assert_eq!(asked, Some(Finding::AskAgain(addr(1))), "the earlier one is asked again");
    let found = clones.handle_answer(MEMBER, answer(OLD, 1, 300));
    assert_eq!(found, Some(Finding::Clone { lower: (OLD, Some(addr(1))), higher: (NEW, Some(addr(2))) }));
    let found = clones.handle_answer(MEMBER, answer(Boot { epoch: 12, ..OLD }, 1, 400));
    assert_eq!(clone_of(found), Some((901, 900)), "the epochs decide, as they are now");
}

#[test]
fn a_restart_is_no_clone_however_quick() {
    let mut clones = Clones::default();
    for boot in 0..20 {
        let boot = Boot { epoch: 10 + boot, nonce: boot * 7 % 5 + boot * 100 };
        for millis in 0..3 {
            let finding = clones.handle_answer(MEMBER, answer(boot, 1, 100 + boot.epoch * 300 + millis * 90));
            assert_eq!(clone_of(finding), None);
        }
    }
}

#[test]
fn an_answer_that_was_asked_for_before_the_restart_is_no_evidence() {
    let mut clones = Clones::default();
    clones.handle_answer(MEMBER, answer(OLD, 1, 100));
    clones.handle_answer(MEMBER, answer(NEW, 1, 300));
    let late = Answer { asked: at(250), ..answer(OLD, 1, 320) };
    assert_eq!(clones.handle_answer(MEMBER, late), None, "it was on its way when the process ended");
    let long_after = answer(OLD, 1, 9_000);
    assert_eq!(clone_of(clones.handle_answer(MEMBER, long_after)), None, "more than five seconds apart");
}

#[test]
fn a_replayed_answer_counts_for_nothing() {
    let mut clones = Clones::default();
    assert!(clones.handle_challenge(77, MEMBER, addr(1), at(0)));
    let first = clones.take_challenge(77, MEMBER, OLD, at(10)).unwrap();
    clones.handle_answer(MEMBER, first);
    clones.handle_answer(MEMBER, answer(NEW, 1, 100));
    assert!(clones.take_challenge(77, MEMBER, OLD, at(200)).is_none(), "a token counts once");
    assert!(clones.take_challenge(78, MEMBER, OLD, at(200)).is_none(), "and only if it was drawn here");
    assert!(clones.handle_challenge(79, MEMBER, addr(1), at(200)));
    assert!(clones.take_challenge(79, IdHash(8), OLD, at(210)).is_none(), "from the member that was asked");
}

#[test]
fn a_restart_that_outlives_the_silence_of_the_earlier_boot_takes_its_place() {
    let mut clones = Clones::default();
    clones.handle_answer(MEMBER, answer(OLD, 1, 100));
    for millis in [200, 3_000, 5_300] {
        clones.handle_answer(MEMBER, answer(NEW, 1, millis));
    }
    let third = Boot { epoch: 11, nonce: 5 };
    let asked = clones.handle_answer(MEMBER, answer(third, 3, 6_000));
    assert_eq!(asked, Some(Finding::AskAgain(addr(1))));
    assert_eq!(clone_of(clones.handle_answer(MEMBER, answer(NEW, 1, 6_100))), Some((901, 5)));
}

#[test]
fn a_member_with_two_addresses_is_challenged_once_a_minute() {
    let mut clones = Clones::default();
    clones.handle_answer(MEMBER, answer(OLD, 1, 100));
    assert!(clones.is_strange(MEMBER, addr(2), at(1_000)));
    assert!(clones.handle_challenge(5, MEMBER, addr(2), at(1_000)));
    assert!(!clones.is_strange(MEMBER, addr(2), at(1_010)), "an answer is waited for");
    let same = clones.take_challenge(5, MEMBER, OLD, at(1_020)).unwrap();
    assert_eq!(clones.handle_answer(MEMBER, same), None);
    assert!(!clones.is_strange(MEMBER, addr(2), at(30_000)));
    assert!(clones.is_strange(MEMBER, addr(2), at(62_000)));
}

#[test]
fn a_link_shows_the_nonce_and_the_datagrams_prove_the_rest() {
    let mut clones = Clones::default();
    let link = |boot, millis| Answer { addr: None, ..answer(boot, 0, millis) };
    clones.handle_answer(MEMBER, answer(OLD, 1, 100));
    let asked = clones.handle_answer(MEMBER, link(NEW, 200));
    assert_eq!(asked, Some(Finding::AskAgain(addr(1))));
    assert_eq!(clone_of(clones.handle_answer(MEMBER, answer(OLD, 1, 300))), Some((900, 901)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut clones = Clones::default();
    for n in 0..MAX_KNOWN as u64 * 2 {
        clones.handle_answer(IdHash(n), answer(OLD, 1, 100 + n));
        clones.handle_challenge(n, IdHash(n), addr(1), at(100));
    }
    assert_eq!((clones.known.len(), clones.challenges.len()), (MAX_KNOWN, MAX_CHALLENGES));
    assert!(!clones.known.contains_key(&IdHash(0)), "the one that answered longest ago is forgotten");
}
