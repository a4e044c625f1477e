//! The write record merges by maximum.

use proptest::prelude::*;

use super::super::record::{Mark, Record};
use super::*;
use crate::id::IdHash;
use crate::wire::link::{Attempts, MAX_ATTEMPTS};

fn wire() -> impl Strategy<Value = WriteRecord> {
    let attempts = proptest::collection::vec((9_u64..12, 0_u64..4, 0_u32..5), 0..8);
    (9_u64..12, 0_u32..8, attempts, (0_u64..3, 0_u64..3, 0_u64..3), 0_u64..9, 0_u64..9).prop_map(
        |(day, slots, attempts, (cluster_id, term, seq), at, last_attempt)| WriteRecord {
            day,
            slots,
            attempts: attempts
                .into_iter()
                .map(|(day, writer, count)| Attempts { day, writer, count })
                .collect(),
            cluster_id,
            term,
            seq,
            at,
            last_attempt,
        },
    )
}

fn merged(records: &[&WriteRecord]) -> Record {
    let mut all = Record::default();
    for record in records {
        all.merge(&Record::from_wire(record));
    }
    all
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter(a in wire(), b in wire(), c in wire()) {
        let all = merged(&[&a, &b, &c]);
        prop_assert_eq!(&merged(&[&c, &a, &b, &a, &c]), &all);
        prop_assert_eq!(&merged(&[&a, &merged(&[&b, &c]).to_wire()]), &all);
        prop_assert_eq!(&Record::from_wire(&all.to_wire()), &all);
        let mut again = all.clone();
        prop_assert!(!again.merge(&all), "a merge that teaches nothing says so");
    }
}

#[test]
fn attempts_are_counted_per_writer_for_two_days() {
    let mut record = Record::default();
    let (a, b) = (IdHash(1), IdHash(2));
    let day = MIDNIGHT / 86_400;
    record.attempt(a, MIDNIGHT);
    record.attempt(a, MIDNIGHT + HOUR);
    record.attempt(b, MIDNIGHT + 5 * HOUR);
    assert_eq!(record.attempts_on(day), 3);
    let slot = MIDNIGHT / HOUR;
    assert_eq!([0, 1, 2, 5].map(|hour| record.taken(slot + hour)), [true, true, false, true]);
    assert!(record.taken(slot - 1), "the slots of bygone days are taken");

    record.attempt(b, MIDNIGHT + 24 * HOUR);
    assert_eq!((record.attempts_on(day), record.attempts_on(day + 1)), (3, 1));
    assert_eq!([0, 1].map(|hour| record.taken(slot + 24 + hour)), [true, false]);
    record.attempt(b, MIDNIGHT + 48 * HOUR);
    assert_eq!((record.attempts_on(day), record.attempts_on(day + 1)), (0, 1));
}

#[test]
fn what_was_stored_is_known_by_term_then_seq() {
    let mut record = Record::default();
    let mark = |term, seq| Mark { term, seq, cluster_id: 5 };
    record.merge_stored(mark(2, 9), 100);
    record.merge_stored(mark(3, 1), 90);
    record.merge_stored(mark(2, 10), 80);
    assert_eq!((record.stored(), record.at(), record.last_attempt()), (mark(3, 1), 100, 100));
}

#[test]
fn an_absurd_record_is_survived_and_bounded() {
    let attempts = 0..u64::try_from(MAX_ATTEMPTS).unwrap() + 500;
    let absurd = WriteRecord {
        day: u64::MAX,
        slots: u32::MAX,
        attempts: attempts.map(|writer| Attempts { day: u64::MAX, writer, count: u32::MAX }).collect(),
        cluster_id: u64::MAX,
        term: u64::MAX,
        seq: u64::MAX,
        at: u64::MAX,
        last_attempt: u64::MAX,
    };
    let mut bench = Bench::leading(paced(), census(3));
    bench.policy.handle_record(&absurd, true, bench.now);
    bench.run_to(48 * HOUR);
    assert!((1..60).contains(&bench.writes.len()), "{} writes", bench.writes.len());
    assert!(bench.policy.record().attempts.len() <= MAX_ATTEMPTS);
    assert!(bench.policy.status(bench.now).last_write < Some(MIDNIGHT + 48 * HOUR));
    assert!(bench.policy.live_summary(u64::MAX).contains("9999-12-30"));
}

#[test]
fn a_restarted_node_knows_its_record() {
    let mut bench = Bench::leading(config(), census(1));
    bench.run_to(10);
    let record = bench.persisted().cloned();
    let again = Policy::new(PolicyConfig { record: record.clone(), ..config() }, Instant::ORIGIN);
    assert_eq!(Some(again.record()), record);
    let status = again.status(Instant::ORIGIN);
    assert_eq!((status.writes_today, status.stored, status.last_write), (1, Some((3, 1)), Some(MIDNIGHT)));
}

#[test]
fn a_record_from_the_future_does_not_end_all_writing() {
    let future = WriteRecord {
        day: u64::MAX,
        slots: u32::MAX,
        at: u64::MAX,
        last_attempt: u64::MAX,
        ..WriteRecord::default()
    };
    let mut bench = Bench::leading(paced(), census(5));
    bench.policy.handle_record(&future, true, bench.now);
    bench.run_to(3 * HOUR);
    assert!(!bench.writes.is_empty(), "told while the store's clock is known");
    let mut bench = Bench::leading(PolicyConfig { record: Some(future), ..paced() }, census(5));
    bench.run_to(3 * HOUR);
    assert!(!bench.writes.is_empty(), "kept from earlier boots");
}
