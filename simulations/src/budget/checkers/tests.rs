//! Each checker can fail: it is shown what it should complain of.

use meshnode::time::{Duration, Instant};

use super::{Checkers, Limits};
use crate::budget::edge::Look;
use crate::budget::figures::Figures;

const STALENESS: Duration = Duration::from_secs(180);

/// All is well.
fn well(stored_at: Option<u64>) -> Look {
    Look {
        any_serves: true,
        stored_helps: true,
        read_helps: true,
        stored_at: stored_at.map(at),
        could_write: true,
        is_true: true,
    }
}

fn at(second: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(second)
}

/// What is broken when these looks were taken, and so many bytes stored so often on the first day.
fn broken(looks: &[(u64, Look)], bytes: usize, writes: u32) -> Vec<&'static str> {
    let mut checkers = Checkers::new(Duration::from_secs(3_600));
    let mut figures = Figures::default();
    for second in 0..writes {
        figures.count_applied(at(second.into()), bytes);
        checkers.applied(at(second.into()), bytes);
    }
    for (second, look) in looks {
        checkers.look(at(*second), *look);
    }
    checkers.finish(&mut figures);
    figures.check(Limits { applied: 30, sent: 30, staleness: STALENESS, heals: true });
    figures.breaches.iter().map(|breach| breach.promise).collect()
}

#[test]
fn nothing_is_said_of_a_run_in_which_all_is_well() {
    assert!(broken(&[(30, well(None)), (3_630, well(Some(60)))], 8_000, 30).is_empty());
}

#[test]
fn one_write_too_many_and_one_byte_too_many_are_seen() {
    let fine = [(3_630, well(Some(60)))];
    assert_eq!(broken(&fine, 8_000, 31), ["budget"]);
    assert_eq!(broken(&fine, 8_001, 1), ["size"]);
}

#[test]
fn an_old_value_counts_while_somebody_could_write() {
    let day = |could_write: bool| {
        let looks = (0..120).map(|hour| (hour * 300, Look { could_write, ..well(Some(0)) }));
        broken(&looks.collect::<Vec<_>>(), 9, 1)
    };
    assert_eq!(day(true), ["age"]);
    assert!(day(false).is_empty());
}

#[test]
fn an_edge_may_be_blind_for_as_long_as_the_store_is_stale() {
    let blind = |seconds: u64| {
        let looks = (0..=seconds / 30).map(|n| (4_000 + n * 30, Look { read_helps: false, ..well(Some(0)) }));
        broken(&looks.collect::<Vec<_>>(), 9, 1)
    };
    assert!(blind(180).is_empty());
    assert_eq!(blind(240), ["edges"]);
}

#[test]
fn a_value_that_stays_wrong_after_the_faults_is_seen() {
    let wrong = Look { is_true: false, ..well(Some(60)) };
    assert_eq!(broken(&[(60, well(Some(60))), (9_000, wrong)], 9, 1), ["convergence"]);
    assert_eq!(broken(&[(9_000, wrong), (20_000, well(Some(15_000)))], 9, 1), ["convergence"]);
}
