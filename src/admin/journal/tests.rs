//! Tests of the journal: its bounds, and what users see of an event.

use serde_json::{Value, json};
use tokio::sync::broadcast::error::TryRecvError;

use super::*;
use crate::admin::fixture::{UNIX, id, view};
use crate::manifest::Health;

fn journal() -> Journal {
    Journal::new(watch::channel(Arc::new(view())).1)
}

fn check(event: Event, expected: Value) {
    let journal = journal();
    journal.record(&event, UNIX);
    let (past, _) = journal.follow(0);
    assert_eq!(past.len(), 1, "{event:?}");
    let shown = serde_json::to_value(&*past[0]).unwrap();
    assert_eq!(shown, expected);
    assert_eq!(serde_json::from_value::<EventRecord>(shown).unwrap(), *past[0]);
}

#[test]
fn an_event_is_shown_with_its_time_and_the_worker_s_name() {
    let (one, two) = (id(1), id(2));
    let at = "2026-11-23T08:00:00Z";
    let worker = |kind: &str| json!({"id": 1, "at": at, "type": kind, "worker_id": two, "name": "two"});
    check(Event::Joined(two), worker("joined"));
    check(Event::Dead(two), worker("dead"));
    check(Event::Left(two), worker("left"));
    check(Event::Refuted(two), worker("refuted"));
    check(
        Event::Suspect { subject: two, accuser: Some(one) },
        json!({"id": 1, "at": at, "type": "suspect", "worker_id": two, "name": "two", "accuser": one}),
    );
    check(
        Event::Health { worker: two, service: "rag".parse().unwrap(), health: Health::Degraded },
        json!({"id": 1, "at": at, "type": "health", "worker_id": two, "name": "two", "service": "rag",
            "health": "degraded"}),
    );
    check(
        Event::Leader { leader: None, term: 3 },
        json!({"id": 1, "at": at, "type": "leader", "worker_id": null, "name": null, "term": 3}),
    );
    check(
        Event::Write { term: 3, seq: 9, error: Some("401".to_owned()) },
        json!({"id": 1, "at": at, "type": "write", "term": 3, "seq": 9, "error": "401"}),
    );
}

#[test]
fn only_the_last_thousand_events_are_kept() {
    let journal = journal();
    for _ in 0..EVENTS + 5 {
        journal.record(&Event::Joined(id(2)), UNIX);
    }
    let (past, _) = journal.follow(0);
    assert_eq!((past.len(), past[0].id, journal.last_id()), (EVENTS, 6, 1_005));
}

#[test]
fn a_follower_gets_each_event_once() {
    let journal = journal();
    journal.record(&Event::Joined(id(2)), UNIX);
    journal.record(&Event::Dead(id(2)), UNIX);
    let (past, mut live) = journal.follow(1);
    journal.record(&Event::Refuted(id(2)), UNIX);
    assert_eq!(past.iter().map(|record| record.id).collect::<Vec<_>>(), [2]);
    assert_eq!(live.try_recv().unwrap().id, 3);
    assert_eq!(live.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn an_id_of_an_earlier_boot_brings_all_events() {
    let journal = journal();
    journal.record(&Event::Joined(id(2)), UNIX);
    assert_eq!(journal.follow(500).0.len(), 1);
}

#[test]
fn what_is_only_for_logs_is_no_event() {
    let journal = journal();
    journal.record(&Event::Ready, UNIX);
    journal.record(&Event::Evidence { subject: id(2), text: "no ack from one".into(), by: None }, UNIX);
    assert_eq!(journal.last_id(), 0);
}

#[test]
fn evidence_says_who_accused_and_what_was_seen() {
    let journal = journal();
    journal.record(&Event::Suspect { subject: id(2), accuser: Some(id(1)) }, UNIX);
    journal.record(&Event::Evidence { subject: id(2), text: "no ack in 500 ms".into(), by: None }, UNIX);
    journal.record(&Event::Dead(id(2)), UNIX);
    let texts: Vec<_> = journal.evidence(&id(2)).iter().map(|line| line.text.to_string()).collect();
    assert_eq!(
        texts,
        [format!("suspected by one ({})", id(1)), "no ack in 500 ms".to_owned(), "declared dead".to_owned()]
    );
    assert!(journal.evidence(&id(1)).is_empty());
}

#[test]
fn what_is_said_again_is_one_line_until_the_status_changes() {
    let journal = journal();
    let says = |text: &str| Event::Evidence { subject: id(2), text: text.into(), by: Some(id(1)) };
    for _ in 0..100 {
        journal.record(&says("it does not answer, as seen"), UNIX);
        journal.record(&says("it answers, as seen"), UNIX);
    }
    journal.record(&Event::Dead(id(2)), UNIX);
    journal.record(&says("it answers, as seen"), UNIX);
    let lines = journal.evidence(&id(2));
    let times: Vec<_> = lines.iter().map(|line| (line.times, line.last.is_some())).collect();
    assert_eq!(times, [(100, true), (100, true), (1, false), (1, false)]);
}

#[test]
fn evidence_is_bounded_by_lines_and_by_subjects() {
    let journal = journal();
    let subject = |n: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        NodeId::from_public_key(key)
    };
    let evidence =
        |n, line: usize| Event::Evidence { subject: subject(n), text: line.to_string().into(), by: None };
    for line in 0..EVIDENCE_LINES + 3 {
        journal.record(&evidence(0, line), UNIX);
    }
    assert_eq!(journal.evidence(&subject(0)).len(), EVIDENCE_LINES);
    assert_eq!(&*journal.evidence(&subject(0))[0].text, "3");

    for n in 1..EVIDENCE_SUBJECTS {
        journal.record(&evidence(n, 0), UNIX);
    }
    journal.record(&evidence(0, 99), UNIX);
    journal.record(&evidence(EVIDENCE_SUBJECTS, 0), UNIX);
    assert!(journal.evidence(&subject(1)).is_empty(), "the one not heard of for longest is forgotten");
    assert_eq!(journal.evidence(&subject(0)).len(), EVIDENCE_LINES);
    assert_eq!(journal.evidence(&subject(EVIDENCE_SUBJECTS)).len(), 1);
}
