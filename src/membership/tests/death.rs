//! The parts of the death rule by themselves: rings, verdicts, self-suspicion, routes and how often to ask.

use super::at;
use crate::id::IdHash;
use crate::membership::accusation::{Accusation, Step};
use crate::membership::isolation::Isolation;
use crate::membership::look::{Asker, Look, Next};
use crate::membership::routes::Routes;
use crate::membership::rtt::RoundTrips;
use crate::membership::watchers;
use crate::time::Duration;
use crate::wire::packet::Seen;

fn ids(n: u64) -> Vec<IdHash> {
    (1..=n).map(|id| IdHash(id.wrapping_mul(0x2545_f491_4f6c_dd1d))).collect()
}

fn accusation(witnesses: u64) -> (Accusation, Vec<IdHash>) {
    let witnesses = ids(witnesses);
    (Accusation::new(7, &witnesses, Duration::from_millis(150), at(0), at(0)), witnesses)
}

#[test]
fn everybody_has_eight_watchers_and_watches_about_eight() {
    let all = ids(200);
    let mut watched = vec![0; all.len()];
    for subject in &all {
        let mut chosen = watchers::of(*subject, &all);
        assert!(!chosen.contains(subject));
        for watcher in &chosen {
            watched[all.iter().position(|id| id == watcher).unwrap()] += 1;
        }
        chosen.sort();
        chosen.dedup();
        assert_eq!(chosen.len(), 8);
    }
    assert!(watched.iter().all(|n| (1..=20).contains(n)), "{watched:?}");
    assert_eq!(watchers::of(all[0], &all[..9]).len(), 8, "all of a small mesh");
    assert_eq!(watchers::of(all[0], &all[..3]).len(), 2);
}

#[test]
fn a_newcomer_is_noticed_exactly_when_it_changes_the_watchers() {
    let all = ids(60);
    let (newcomers, members) = all.split_at(20);
    for subject in members {
        let before = watchers::of(*subject, members);
        for newcomer in newcomers {
            let with: Vec<IdHash> = members.iter().copied().chain([*newcomer]).collect();
            let changes = watchers::of(*subject, &with) != before;
            assert!(!changes || watchers::is_displaced_by(*subject, &before, *newcomer));
        }
    }
}

#[test]
fn five_of_eight_fresh_verdicts_kill_and_one_positive_ends_it() {
    let (mut accusation, witnesses) = accusation(8);
    for witness in &witnesses[..4] {
        accusation.handle_verdict(*witness, Seen::Silent);
    }
    assert!(!accusation.tally(|_| true, at(1500)).is_quorum(), "four are not enough");
    assert!(accusation.tally(|_| true, at(1500)).is_suspicion());
    accusation.handle_verdict(witnesses[4], Seen::Gone);
    assert!(accusation.tally(|_| true, at(1500)).is_quorum());
    accusation.handle_verdict(witnesses[5], Seen::Answers);
    let tally = accusation.tally(|_| true, at(1500));
    assert!(!tally.is_quorum() && !tally.is_suspicion() && tally.is_mixed());
    assert!(!accusation.handle_verdict(IdHash(99), Seen::Silent), "nobody asked that one");
}

#[test]
fn verdicts_from_before_the_fresh_question_do_not_count() {
    let (mut accusation, witnesses) = accusation(8);
    for witness in &witnesses {
        accusation.handle_verdict(*witness, Seen::Silent);
    }
    assert_eq!((accusation.take_step(), accusation.take_step()), (Step::AskSilent, Step::AskAfresh));
    accusation.void(8);
    assert_eq!(accusation.round, 8, "what is still on its way names the old round");
    assert_eq!(accusation.tally(|_| true, at(1500)).negative, 0);
    assert_eq!(accusation.take_step(), Step::Judge);
    assert!(!accusation.is_ripe(at(1499)) && accusation.is_ripe(at(1500)));
}

#[test]
fn a_process_that_stands_still_is_avoided_at_once_and_dead_only_after_ten_seconds() {
    let (mut accusation, witnesses) = accusation(8);
    for witness in &witnesses[..2] {
        accusation.handle_verdict(*witness, Seen::Stalled);
    }
    assert!(!accusation.tally(|_| true, at(600)).is_stalled(), "one lost answer on a link looks the same");
    for witness in &witnesses[2..6] {
        accusation.handle_verdict(*witness, Seen::Stalled);
    }
    assert!(accusation.tally(|_| true, at(600)).is_stalled());
    assert!(!accusation.tally(|_| true, at(9_999)).is_quorum());
    assert!(accusation.tally(|_| true, at(10_000)).is_quorum());
}

#[test]
fn a_look_ends_with_the_first_answer_and_asks_over_the_link_when_there_is_none() {
    let timeout = Duration::from_millis(150);
    let mut look = Look::new(false, timeout, at(0));
    look.ask(Asker { id: IdHash(1), round: 7 });
    assert_eq!(look.take_next(at(0)), Next::Ping);
    assert_eq!(look.due(), Some(at(150)));
    assert!(
        matches!(look.take_next(at(150)), Next::PingLink(within) if within <= Duration::from_millis(500))
    );
    assert!(look.handle_answer(at(200)));
    assert_eq!((look.verdict(), look.due()), (Some(Seen::Answers), None));

    let mut look = Look::new(true, timeout, at(0));
    let mut done = Vec::new();
    while let Some(due) = look.due() {
        done.push((due, look.take_next(due)));
    }
    assert_eq!(done.iter().filter(|(_, next)| *next == Next::Ping).count(), 2);
    assert_eq!(done.last(), Some(&(at(300), Next::Tell(Seen::Silent))));
}

#[test]
fn a_node_to_which_most_are_silent_doubts_itself_but_not_for_ever() {
    let longest = Duration::from_secs(24);
    let mut isolation = Isolation::default();
    for (n, id) in ids(4).into_iter().enumerate() {
        isolation.note(id, false, at(n as u64));
    }
    assert!(!isolation.is_suspected(longest, at(10)), "four are too few to tell");
    for id in ids(9) {
        isolation.note(id, false, at(20));
    }
    assert!(isolation.is_suspected(longest, at(20)));
    for second in 1..30_u64 {
        for id in ids(9) {
            isolation.note(id, false, at(second * 1000));
        }
        let doubts = isolation.is_suspected(longest, at(second * 1000));
        assert_eq!(doubts, second < 25, "after {second} s");
    }
    let mut isolation = Isolation::default();
    for (n, id) in ids(10).into_iter().enumerate() {
        isolation.note(id, n % 2 == 0, at(0));
    }
    assert!(!isolation.is_suspected(longest, at(0)), "half is not most");
}

#[test]
fn the_newest_word_about_a_route_wins_and_fades() {
    let (mut here, mut there) = (Routes::default(), Routes::default());
    let subject = IdHash(5);
    let first = here.next(subject, true);
    assert_eq!(here.learn(subject, first, at(0)), Some(true));
    assert_eq!(there.learn(subject, first, at(0)), Some(true));
    let over = there.next(subject, false);
    assert_eq!(there.learn(subject, over, at(1_000)), Some(true));
    assert_eq!(here.learn(subject, over, at(1_100)), Some(true));
    assert_eq!(here.learn(subject, first, at(1_200)), None, "an old word on its way");
    assert!(!here.is_unroutable(subject));
    let again = here.next(subject, true);
    here.learn(subject, again, at(2_000));
    assert!(here.take_faded(at(31_000)).is_empty() && here.is_unroutable(subject));
    assert_eq!(here.take_faded(at(32_000)), [subject]);
}

#[test]
fn where_more_is_lost_a_node_asks_more_often_before_silence_means_something() {
    let attempts = |answered: usize, of: usize| {
        let mut trips = RoundTrips::default();
        for n in 0..400 {
            trips.note_first(n * answered / of != (n + 1) * answered / of);
        }
        trips.attempts()
    };
    assert_eq!(attempts(100, 100), 3);
    assert!((4..=6).contains(&attempts(56, 100)), "25 % lost each way: {}", attempts(56, 100));
    assert!((7..=9).contains(&attempts(32, 100)), "44 % lost each way: {}", attempts(32, 100));
    assert_eq!(attempts(0, 100), 9);
}

#[test]
fn timeouts_follow_the_round_trips_within_their_bounds() {
    let mut trips = RoundTrips::default();
    assert_eq!(trips.timeout(), Duration::from_millis(150));
    for n in 0..200 {
        trips.measure(Duration::from_millis(if n % 2 == 0 { 70 } else { 100 }));
    }
    let timeout = trips.timeout();
    assert!(timeout > Duration::from_millis(180) && timeout < Duration::from_millis(300), "{timeout:?}");
    trips.measure(Duration::from_secs(60));
    assert_eq!(trips.timeout(), Duration::from_millis(500));
}
