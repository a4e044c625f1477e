//! What other membership protocols ran into; docs/traps.md has the whole list.

use super::*;
use crate::membership::{TOMBSTONE_ENDS, TOMBSTONE_FADES};
use crate::wire::packet::{Ack, NackReason, Ping};

/// A packet of member `from`.
fn packet(from: u8, members: u32, body: Option<Body>) -> Packet {
    Packet { from: id(from).hash().0, epoch: 10, members, body, ..Packet::default() }
}

/// Runs timers until `end`, and hands each output with its time to `see`.
fn run(membership: &mut Membership, end: Instant, mut see: impl FnMut(Output, Instant)) {
    while let Some(now) = membership.poll_timeout().filter(|at| *at <= end) {
        membership.handle_timeout(now);
        while let Some(output) = membership.poll_output() {
            see(output, now);
        }
    }
}

fn pinged(output: &Output) -> Option<IdHash> {
    if let Output::Send { to: Destination::Member { id, .. }, body: Some(Body::Ping(ping)) } = output {
        return (ping.target == id.0).then_some(*id);
    }
    None
}

/// Whom a node pinged, and how often it asked an address.
struct Answered {
    pings: Vec<IdHash>,
    joins: u32,
}

/// Everybody whom `membership` pings answers.
fn run_with_answers(membership: &mut Membership, from: Instant, end: Instant) -> Answered {
    let (mut pings, mut joins) = (Vec::new(), 0);
    let mut now = from;
    while let Some(at) = membership.poll_timeout().filter(|at| *at <= end) {
        now = at.max(now);
        membership.handle_timeout(now);
        for output in outputs(membership) {
            joins += u32::from(matches!(output, Output::Send { body: Some(Body::Join(_)), .. }));
            let (Some(target), Output::Send { to, body: Some(Body::Ping(ping)) }) =
                (pinged(&output), &output)
            else {
                continue;
            };
            let Destination::Member { addr, .. } = *to else { continue };
            pings.push(target);
            let ack = Ack { token: ping.token, target: target.0, target_epoch: 10, ..Ack::default() };
            let body = Some(Body::Ack(ack));
            let packet = Packet { from: target.0, epoch: 10, members: 1, body, ..Packet::default() };
            membership.handle_packet(&packet, addr, now);
        }
    }
    Answered { pings, joins }
}

#[test]
fn an_accusation_does_not_survive_the_refutation_that_it_provoked() {
    let mut membership = knowing_by(Detector::Lifeguard, 5);
    let subject = id(1).hash();
    for incarnation in 0..4 {
        membership.handle_fact(&fact(1, version(10, incarnation), FactKind::Suspect, 2), subject, at(100));
        assert_eq!(status(&membership, 1), Status::Suspect);
        membership.handle_fact(&fact(1, version(10, incarnation + 1), FactKind::Alive, 1), subject, at(200));
        assert_eq!(status(&membership, 1), Status::Alive);
        assert!(membership.inquiry(subject, at(200)).unwrap().accusers.is_empty(), "no timer is left over");
    }
}

#[test]
fn the_left_are_forgotten_as_the_dead_are() {
    let mut membership = knowing(3);
    membership.handle_fact(&fact(1, version(10, 0), FactKind::Left, 1), id(1).hash(), at(100));
    membership.handle_fact(&fact(2, version(10, 0), FactKind::Dead, 3), id(3).hash(), at(100));
    membership.handle_timeout(at(200) + TOMBSTONE_FADES);
    assert_eq!((status(&membership, 1), status(&membership, 2)), (Status::Left, Status::Dead));
    membership.handle_timeout(at(300) + TOMBSTONE_ENDS);
    assert!(membership.member(id(1).hash()).is_none() && membership.member(id(2).hash()).is_none());
}

#[test]
fn a_leave_is_told_so_often_and_then_no_more() {
    let mut membership = knowing(9);
    let left = fact(1, version(10, 0), FactKind::Left, 0);
    membership.handle_fact(&left, id(1).hash(), at(0));
    let tells = |membership: &mut Membership| {
        (0..200)
            .filter(|_| membership.facts_for(None, 400).iter().any(|fact| fact.kind() == FactKind::Left))
            .count()
    };
    let limit = retransmit_limit(9) as usize;
    assert_eq!(tells(&mut membership), limit);
    for teller in 2..9 {
        membership.handle_fact(&left, id(teller).hash(), at(1_000));
    }
    assert_eq!(tells(&mut membership), 0, "hearing it again is no reason to tell it again");
    membership.handle_fact(&fact(1, version(10, 1), FactKind::Alive, 0), id(1).hash(), at(2_000));
    assert_eq!(status(&membership, 1), Status::Alive, "who left may come back without a new boot");
}

#[test]
fn a_newcomer_tells_its_facts_as_often_as_the_mesh_that_it_heard_of_needs() {
    let tells = |advertised| {
        let mut membership = knowing(1);
        membership.handle_packet(&packet(1, advertised, None), addr(1), at(10));
        membership.disseminate(fact(1, version(10, 7), FactKind::Manifest, 0), at(10));
        (0..200).filter(|_| !membership.facts_for(None, 400).is_empty()).count()
    };
    assert_eq!(tells(2), retransmit_limit(2) as usize);
    assert_eq!(tells(10_000), retransmit_limit(10_000) as usize);
}

#[test]
fn the_contacts_of_the_dead_are_as_many_in_a_small_mesh_as_in_a_large_one() {
    let per_second = |others: u8| {
        let mut membership = knowing_by(Detector::Lifeguard, others);
        membership.handle_fact(&fact(1, version(10, 0), FactKind::Dead, 2), id(2).hash(), at(0));
        let joins = run_with_answers(&mut membership, at(0), at(2_000_000)).joins;
        f64::from(joins) / 2_000.0 * f64::from(others)
    };
    for others in [10, 40, 160] {
        let all = per_second(others);
        assert!((2.0..4.5).contains(&all), "{all} a second of {others} in all");
    }
}

#[test]
fn every_member_is_pinged_once_a_turn_and_the_dead_are_not() {
    let mut membership = knowing_by(Detector::Lifeguard, 12);
    membership.handle_fact(&fact(12, version(10, 0), FactKind::Dead, 2), id(2).hash(), at(0));
    let pings = run_with_answers(&mut membership, at(0), at(33_500)).pings;
    let count = |n: u8| pings.iter().filter(|target| **target == id(n).hash()).count();
    let counts: Vec<usize> = (1..=11).map(count).collect();
    assert!(counts.iter().all(|count| (2..=4).contains(count)), "three turns: {counts:?}");
    assert_eq!(count(12), 0);
    // A newcomer does not wait for the end of the turn, and its place is drawn.
    let mut places = std::collections::BTreeSet::new();
    for n in 20..40 {
        let mut membership = knowing_by(Detector::Lifeguard, 12);
        run_with_answers(&mut membership, at(0), at(u64::from(n) * 100));
        let from = at(u64::from(n) * 100);
        membership.introduce(id(n), 10, Some(addr(n)), 7, from);
        let pings = run_with_answers(&mut membership, from, from + PERIOD * 27).pings;
        let first = pings.iter().position(|target| *target == id(n).hash());
        places.insert(first.expect("within two turns"));
    }
    assert!(places.len() > 4, "{places:?}");
}

#[test]
fn a_relay_says_what_it_heard_itself_and_says_in_time_that_it_heard_nothing() {
    let mut membership = knowing_by(Detector::Lifeguard, 3);
    // It heard the target a moment ago; that is no answer to somebody else's question.
    membership.handle_packet(&packet(2, 4, None), addr(2), at(990));
    let ask = Ping { token: 77, target: id(2).hash().0, target_epoch: 10, ..Ping::default() };
    membership.handle_packet(&packet(1, 4, Some(Body::PingReq(ask))), addr(1), at(1_000));
    let mut answers = Vec::new();
    run(&mut membership, at(2_000), |output, now| {
        if let Output::Send { to: Destination::Member { id, .. }, body: Some(body) } = output
            && id == IdHash(packet(1, 0, None).from)
        {
            answers.push((body, now));
        }
    });
    let nacks: Vec<_> = answers
        .iter()
        .filter_map(|(body, at)| if let Body::Nack(nack) = body { Some((nack, *at)) } else { None })
        .filter(|(nack, _)| nack.token == 77)
        .map(|(nack, at)| (nack.reason(), at))
        .collect();
    assert!(!answers.iter().any(|(body, _)| matches!(body, Body::Ack(_))), "{answers:?}");
    assert_eq!(nacks.len(), 1, "{answers:?}");
    assert_eq!(nacks[0].0, NackReason::NoAnswer);
    assert!(nacks[0].1 < at(1_400), "before the origin gives up: {nacks:?}");
}

#[test]
fn suspects_are_not_asked_to_ping_others() {
    let mut membership = knowing_by(Detector::Lifeguard, 6);
    for n in 1..=3 {
        membership.handle_fact(&fact(n, version(10, 0), FactKind::Suspect, 6), id(6).hash(), at(0));
    }
    let mut asked = std::collections::BTreeSet::new();
    run(&mut membership, at(3_900), |output, _| {
        if let Output::Send { to: Destination::Member { id, .. }, body: Some(Body::PingReq(_)) } = output {
            asked.insert(id);
        }
    });
    assert!(!asked.is_empty());
    assert!((1..=3).all(|n| !asked.contains(&id(n).hash())), "{asked:?}");
}
