//! When the store is read and written.

use proptest::prelude::*;

use super::super::budget::{lone_delay, stagger};
use super::*;

/// When this leader may write a change in the slot that begins so many hours after midnight.
fn change_at(hour: u64) -> u64 {
    hour * HOUR + stagger(node(0).hash(), MIDNIGHT / HOUR + hour)
}

#[test]
fn a_first_node_with_a_file_writes_at_once() {
    let bench = Bench::leading(config(), census(1));
    assert_eq!(bench.write_times(), [0]);
    assert!(bench.said.contains(&Output::Stored { term: None }));
    assert!(bench.said.contains(&Output::Wrote { term: 3, seq: 1, error: None }));
}

#[test]
fn a_file_is_written_on_every_change_but_once_a_second() {
    let mut bench = Bench::leading(config(), census(3));
    bench.run_to(10);
    bench.set_census(census(2));
    assert_eq!(bench.write_times(), [0, 10]);
    bench.set_census(census(3));
    bench.run_to(100);
    assert_eq!(bench.write_times(), [0, 10, 11]);
}

#[test]
fn a_campaign_reads_once_and_says_which_term_is_stored() {
    let mut bench = Bench::leading(config(), census(1));
    let mut next = Bench::new(config());
    next.value = bench.value.take();
    next.policy.handle_campaign(next.now);
    next.drain();
    assert_eq!(next.reads.len(), 1);
    assert!(next.said.contains(&Output::Stored { term: Some(3) }));
    next.run_to(24 * HOUR);
    assert_eq!((next.reads.len(), next.writes.len()), (1, 0), "only a leader reads on, and writes");
}

#[test]
fn a_change_waits_for_its_place_in_a_free_slot() {
    let mut bench = Bench::leading(paced(), census(3));
    bench.run_to(250);
    assert_eq!(bench.write_times(), [240], "the first write takes slot 0 as soon as the leader is warm");
    bench.set_census(census(2));
    bench.run_to(2 * HOUR);
    assert_eq!(bench.write_times(), [240, change_at(1)]);
}

#[test]
fn versions_and_counts_are_no_change() {
    let mut bench = Bench::leading(config(), census(3));
    let mut other = census(3);
    other.services.insert(service("rag"), (0, 5));
    other.members[1].version = 99;
    other.workers = 17;
    bench.run_to(10);
    bench.set_census(other);
    bench.run_to(5 * HOUR);
    assert_eq!(bench.write_times(), [0]);
}

#[test]
fn a_quiet_day_takes_five_writes_and_a_read_in_every_slot() {
    let mut bench = Bench::leading(paced(), census(3));
    bench.run_to(24 * HOUR - 1);
    assert!((4..=5).contains(&bench.writes.len()), "{:?}", bench.write_times());
    for pair in bench.writes.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!((6 * HOUR..8 * HOUR).contains(&gap), "{:?}", bench.write_times());
    }
    let mut slots: Vec<u64> = bench.reads.iter().map(|at| (at - MIDNIGHT) / HOUR).collect();
    slots.dedup();
    assert_eq!(slots, (0..24).collect::<Vec<_>>());
    assert!(bench.reads.len() < 40, "it polls: {} reads", bench.reads.len());
}

#[test]
fn edges_that_are_about_to_be_blind_are_helped_after_the_hold() {
    let mut bench = Bench::leading(paced(), census(3));
    bench.run_to(300);
    let mut after = census(40);
    for gone in 0..3 {
        after.members[gone].status = Status::Dead;
    }
    bench.set_census(after);
    bench.run_to(HOUR - 100);
    assert_eq!(bench.write_times(), [240, 480], "in a taken slot, 240 s after the last attempt");
}

#[test]
fn nothing_is_written_in_the_last_minute_of_a_slot() {
    let mut bench = Bench::new(paced());
    bench.origin = MIDNIGHT + HOUR - 290;
    bench.policy.handle_census(census(1), bench.now);
    bench.policy.handle_campaign(bench.now);
    bench.drain();
    bench.policy.handle_lead(1, bench.now);
    bench.run_to(2 * HOUR - 1);
    assert_eq!(bench.write_times(), [HOUR], "warm at 00:59:10, which is too late for that slot");
}

#[test]
fn only_a_warm_leader_writes_and_a_warm_member_or_the_hold_makes_it_warm() {
    let check = |act: fn(&mut Bench), expected: &[u64]| {
        let mut bench = Bench::leading(paced(), census(1));
        bench.run_to(100);
        act(&mut bench);
        bench.drain();
        bench.run_to(900);
        assert_eq!(bench.write_times(), expected);
    };
    check(|_| {}, &[240]);
    check(|bench| bench.policy.handle_record(&WriteRecord::default(), false, bench.now), &[240]);
    check(|bench| bench.policy.handle_record(&WriteRecord::default(), true, bench.now), &[100]);
    check(|bench| bench.policy.handle_resume(bench.now), &[340]);
}

#[test]
fn nothing_is_sent_unless_a_member_keeps_the_record() {
    let check = |keeps: Option<bool>, why: &str| {
        let mut bench = Bench::new(paced());
        bench.keeps = keeps;
        bench.policy.handle_census(census(5), bench.now);
        bench.policy.handle_campaign(bench.now);
        bench.drain();
        bench.policy.handle_lead(1, bench.now);
        bench.run_to(HOUR - 1);
        assert!(bench.writes.is_empty());
        assert_eq!(bench.errors(), [why], "one attempt a slot");
        assert_eq!(bench.persisted().unwrap().attempts[0].count, 1, "what was not sent is counted");
        bench.keeps = Some(true);
        bench.run_to(2 * HOUR - 1);
        assert_eq!(bench.writes.len(), 1);
    };
    check(Some(false), "no member kept the write record");
    check(None, "no member kept the write record in time");
}

#[test]
fn the_attempt_is_on_disk_and_in_the_value_before_it_is_sent() {
    let mut policy = Policy::new(config(), Instant::ORIGIN);
    policy.handle_census(census(5), Instant::ORIGIN);
    policy.handle_lead(1, Instant::ORIGIN);
    assert_eq!(policy.poll_output(), Some(Output::Store(StoreCall::Get)));
    policy.handle_store(StoreReply::NotFound { now: MIDNIGHT }, Instant::ORIGIN);
    let Some(Output::Persist(record)) = policy.poll_output() else { panic!("not persisted") };
    assert_eq!((record.attempts.len(), record.attempts[0].count, record.slots), (1, 1, 1));
    assert_eq!(policy.poll_output(), Some(Output::Replicate { record, copies: 3 }));
    assert_eq!(policy.poll_output(), None, "sent before a member kept the record");
    policy.handle_kept(false, Instant::ORIGIN);
    policy.handle_kept(true, Instant::ORIGIN);
    let Some(Output::Store(StoreCall::Put { value })) = policy.poll_output() else { panic!("not sent") };
    let value = Value::parse(&value).unwrap();
    assert_eq!(value.writes["2026-11-22"][&node(0).hash().to_string()], 1);
    policy.handle_kept(true, Instant::ORIGIN);
    assert_eq!(policy.poll_output(), None, "sent twice");
}

#[test]
fn an_unknown_outcome_counts_and_waits_for_the_next_slot() {
    let mut bench = Bench::leading(paced(), census(3));
    bench.run_to(239);
    bench.policy.handle_timeout(Instant::ORIGIN + Duration::from_secs(240));
    assert_eq!(bench.policy.poll_output(), Some(Output::Store(StoreCall::Get)));
    bench.now = Instant::ORIGIN + Duration::from_secs(240);
    bench.policy.handle_store(StoreReply::NotFound { now: MIDNIGHT + 240 }, bench.now);
    bench.reply = Some(StoreReply::PutFailed(StoreFailure::Unknown("the connection broke".into())));
    bench.drain();
    assert_eq!(bench.errors(), ["outcome unknown: the connection broke"]);
    bench.run_to(HOUR - 1);
    assert_eq!(bench.writes.len(), 1, "no second try in the slot");
    bench.run_to(2 * HOUR - 1);
    assert_eq!(bench.writes.len(), 2);
    assert_eq!(bench.policy.status(bench.now).writes_today, 2);
    assert!(!bench.said.iter().any(|said| matches!(said, Output::StoreFailed(_))));
}

#[test]
fn a_node_that_expected_company_leaves_the_store_alone_for_long() {
    let lonely = || PolicyConfig { alone_ok: false, ..paced() };
    let from = lone_delay(node(0).hash()).as_secs();
    assert!((900..8_100).contains(&from));

    let mut bench = Bench::leading(lonely(), census(1));
    bench.run_to(9 * HOUR);
    assert!(bench.writes[0].0 >= from, "{:?}", bench.write_times());

    // A young value of others is left alone, although edges would find nobody.
    let mut others = Bench::leading(lonely(), census(1));
    let mut value = bench.writes[0].1.clone();
    value.at = UnixTime(MIDNIGHT);
    others.value = Some(value.to_json());
    others.run_to(7 * HOUR - 1);
    assert!(others.writes.is_empty(), "{:?}", others.write_times());
    others.run_to(9 * HOUR);
    assert_eq!(others.writes.len(), 1);

    let mut met = Bench::leading(lonely(), census(2));
    met.run_to(900);
    assert_eq!(met.write_times(), [240]);
}

#[test]
fn only_some_failures_cost_the_leader_its_lead() {
    let check = |failure: StoreFailure, fails: bool| {
        for write in [false, true] {
            let mut bench = Bench::leading(paced(), census(1));
            bench.run_to(239);
            bench.now = Instant::ORIGIN + Duration::from_secs(240);
            bench.policy.handle_timeout(bench.now);
            if write {
                assert_eq!(bench.policy.poll_output(), Some(Output::Store(StoreCall::Get)));
                bench.policy.handle_store(StoreReply::NotFound { now: MIDNIGHT + 240 }, bench.now);
                bench.reply = Some(StoreReply::PutFailed(failure.clone()));
            } else {
                bench.reply = Some(StoreReply::GetFailed(failure.clone()));
            }
            bench.drain();
            let failed = bench.said.iter().any(|said| matches!(said, Output::StoreFailed(_)));
            assert_eq!(failed, fails, "{failure:?}, write: {write}");
            assert_eq!(bench.policy.status(bench.now).store_ok, !fails);
        }
    };
    check(StoreFailure::Failed("403 Forbidden".into()), true);
    check(StoreFailure::Limited { retry_after_s: 7 }, false);
}

#[test]
fn a_limited_store_is_left_in_peace_for_as_long_as_it_asks() {
    let mut bench = Bench::leading(config(), census(1));
    bench.run_to(10);
    bench.reply = Some(StoreReply::GetFailed(StoreFailure::Limited { retry_after_s: 120 }));
    bench.set_census(census(2));
    bench.run_to(600);
    let next = bench.writes[1].0;
    assert!((130..=131).contains(&next), "{:?}", bench.write_times());
}

#[test]
fn a_limited_store_does_not_keep_a_node_from_leading() {
    let mut bench = Bench::new(paced());
    bench.reply = Some(StoreReply::GetFailed(StoreFailure::Limited { retry_after_s: 7 }));
    bench.policy.handle_campaign(bench.now);
    bench.drain();
    assert_eq!(bench.said, [Output::Stored { term: None }]);
}

#[test]
fn a_call_without_an_answer_ends_after_30_s() {
    let mut policy = Policy::new(paced(), Instant::ORIGIN);
    policy.handle_campaign(Instant::ORIGIN);
    assert_eq!(policy.poll_output(), Some(Output::Store(StoreCall::Get)));
    let end = Instant::ORIGIN + Duration::from_secs(30);
    assert_eq!(policy.poll_timeout(), Some(end));
    policy.handle_timeout(end);
    assert_eq!(policy.poll_output(), Some(Output::StoreFailed("no answer".into())));
}

#[test]
fn the_summary_of_another_cluster_is_not_overwritten() {
    let mut bench = Bench::leading(PolicyConfig { cluster: "test".into(), ..config() }, census(1));
    let foreign = bench.value.take();
    let mut bench = Bench::leading(config(), census(1));
    bench.run_to(10);
    bench.value = foreign;
    bench.set_census(census(2));
    assert_eq!(bench.writes.len(), 1);
    assert_eq!(bench.errors(), ["the store holds the summary of another cluster, 'test'"]);
}

#[test]
fn a_value_that_cannot_be_read_is_replaced() {
    for garbage in ["", "{}", "null", "\u{0}", "{\"v\":1,\"nodes\":7}"] {
        let mut bench = Bench::new(config());
        bench.value = Some(garbage.into());
        bench.policy.handle_census(census(1), bench.now);
        bench.policy.handle_lead(1, bench.now);
        bench.drain();
        assert_eq!(bench.writes.len(), 1, "{garbage}");
    }
}

#[test]
fn who_no_longer_leads_sends_nothing() {
    let mut policy = Policy::new(config(), Instant::ORIGIN);
    policy.handle_census(census(5), Instant::ORIGIN);
    policy.handle_lead(1, Instant::ORIGIN);
    policy.handle_store(StoreReply::NotFound { now: MIDNIGHT }, Instant::ORIGIN);
    policy.handle_follow(Instant::ORIGIN);
    policy.handle_kept(true, Instant::ORIGIN);
    while let Some(output) = policy.poll_output() {
        assert!(!matches!(output, Output::Store(StoreCall::Put { .. })));
    }
    assert_eq!(policy.poll_timeout(), None);
}

/// Whatever comes in whatever order: no panic, and never two calls at once.
fn steps() -> impl Strategy<Value = Vec<(u8, u64)>> {
    proptest::collection::vec((0_u8..14, prop_oneof![0_u64..5_000, Just(u64::MAX)]), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_order_of_events_confuses_the_policy(steps in steps()) {
        let mut policy = Policy::new(paced(), Instant::ORIGIN);
        let mut now = Instant::ORIGIN;
        let mut outstanding = false;
        for (step, number) in steps {
            let reply = match step {
                0 => Some(StoreReply::NotFound { now: number }),
                1 => Some(StoreReply::Found { value: number.to_string().into(), now: number }),
                2 => Some(StoreReply::Stored),
                3 => Some(StoreReply::GetFailed(StoreFailure::Limited { retry_after_s: number })),
                4 => Some(StoreReply::PutFailed(StoreFailure::TooLate)),
                _ => None,
            };
            if let Some(reply) = reply {
                // A late answer is no answer to the call under way, but it must do no harm.
                policy.handle_store(reply, now);
                outstanding = false;
            }
            match step {
                5 => policy.handle_census(census(u16::try_from(number % 50 + 1).unwrap()), now),
                6 => policy.handle_campaign(now),
                7 => policy.handle_lead(number, now),
                8 => policy.handle_follow(now),
                9 => policy.handle_kept(number % 2 == 0, now),
                10 => policy.handle_resume(now),
                11 => policy.handle_record(&WriteRecord { day: number, at: number, seq: number, ..WriteRecord::default() }, true, now),
                12 => now += Duration::from_secs(number % 5_000),
                _ => {}
            }
            let expired = policy.poll_timeout().is_some_and(|at| at <= now);
            policy.handle_timeout(now);
            if expired {
                outstanding = false;
            }
            let mut calls = 0;
            while let Some(output) = policy.poll_output() {
                if matches!(output, Output::Store(_)) {
                    calls += 1;
                }
            }
            prop_assert!(calls <= 1 || !outstanding);
            outstanding |= calls > 0;
            policy.status(now);
            policy.live_summary(number);
        }
    }
}
