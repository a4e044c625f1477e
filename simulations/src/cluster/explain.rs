//! What a trace says in words: events and store calls, and, for a reader, what is inside datagrams and requests.

use std::fmt::Write as _;

use meshnode::id::IdHash;
use meshnode::mesh::Event;
use meshnode::summary::{StoreCall, StoreReply};
use meshnode::wire::link::{Ask, Reply, Request, Response};
use meshnode::wire::{Body, Fact, FactKind, Packet};

use crate::model::Model;

pub(super) fn event(event: &Event, model: &Model) -> String {
    let name = |id: &_| model.name(id);
    match event {
        Event::Joined(id) => format!("sees {} join", name(id)),
        Event::Suspect { subject, accuser: Some(accuser) } => {
            format!("hears that {} suspects {}", name(accuser), name(subject))
        }
        Event::Suspect { subject, accuser: None } => format!("suspects {}", name(subject)),
        Event::Dead(id) => format!("holds {} dead", name(id)),
        Event::Left(id) => format!("sees {} leave", name(id)),
        Event::Paused(span) => format!("stood still for {span:?}"),
        Event::Isolated(is_isolated) => format!("doubts itself: {is_isolated}"),
        Event::Unroutable(id) => format!("sees {} become unroutable", name(id)),
        Event::Routable(id) => format!("sees {} become routable", name(id)),
        Event::Refuted(id) => format!("sees {} refute", name(id)),
        Event::Health { worker, service, health } => {
            format!("sees {service} on {} {}", name(worker), health.as_str())
        }
        Event::Leader { leader: Some(leader), term } => format!("follows {} in term {term}", name(leader)),
        Event::Leader { leader: None, term } => format!("follows nobody after term {term}"),
        Event::Write { term, seq, error: None } => format!("stored the summary ({term}, {seq})"),
        Event::Write { term, seq, error: Some(error) } => format!("did not store ({term}, {seq}): {error}"),
        Event::Ready => "is ready".to_owned(),
        Event::JoinUnanswered => "gets no answer to its join".to_owned(),
        Event::Refused { what, reason } => format!("refuses a {what:?}: {reason}"),
        Event::ManifestTooLarge(reason) => format!("does not publish its manifest: {reason}"),
        Event::StoresDiffer => "sees different stores".to_owned(),
        Event::EpochBehind { known } => format!("learns that the mesh knows it at epoch {known}"),
        Event::Cloned { epoch, gives_way: true } => format!("goes silent before its clone of epoch {epoch}"),
        Event::Cloned { epoch, gives_way: false } => format!("goes on beside a clone of epoch {epoch}"),
        Event::Damped(true) => "is damped".to_owned(),
        Event::Damped(false) => "is damped no more".to_owned(),
        Event::Evidence { subject, text, .. } => format!("on {}: {text}", name(subject)),
    }
}

pub(super) fn store_call(call: &StoreCall) -> String {
    match call {
        StoreCall::Get => "GET".to_owned(),
        StoreCall::Put { value } => format!("PUT {} B", value.len()),
    }
}

pub(super) fn store_reply(reply: &StoreReply) -> String {
    match reply {
        StoreReply::Found { value, now } => format!("found {} B at {now}", value.len()),
        StoreReply::NotFound { now } => format!("not found at {now}"),
        StoreReply::GetFailed(failure) | StoreReply::PutFailed(failure) => failure.to_string(),
        StoreReply::Stored => "stored".to_owned(),
    }
}

pub(super) fn packet(bytes: &[u8], model: &Model) -> String {
    let Ok(packet) = Packet::decode(bytes) else {
        return "not a packet".to_owned();
    };
    let mut text = packet.body.as_ref().map_or_else(|| "facts".to_owned(), |body| message(body, model));
    for fact in &packet.facts {
        // Writing to a String cannot fail.
        let _ = write!(text, "; {}", about(fact, model));
    }
    text
}

fn message(body: &Body, model: &Model) -> String {
    let name = |hash: u64| name_of(hash, model);
    match body {
        Body::Ping(ping) => format!("ping {}", name(ping.target)),
        Body::PingReq(ping) => format!("ping-req {}", name(ping.target)),
        Body::Ack(ack) => {
            format!("ack of {} at ({}, {})", name(ack.target), ack.target_epoch, ack.target_incarnation)
        }
        Body::Nack(nack) => format!("nack {:?}", nack.reason()),
        Body::Join(_) => "join".to_owned(),
        Body::JoinAck(_) => "join-ack".to_owned(),
        Body::Notice(notice) => format!("asks about {}", name(notice.subject)),
        Body::Verdict(verdict) => format!("says of {}: {:?}", name(verdict.subject), verdict.seen()),
        Body::Election(election) => format!("election in term {}", election.term),
        Body::Answer(answer) if answer.leader == 0 => format!("answer in term {}", answer.term),
        Body::Answer(answer) => format!("answer in term {}: {} leads", answer.term, name(answer.leader)),
    }
}

fn about(fact: &Fact, model: &Model) -> String {
    let Fact { epoch, incarnation, value, .. } = fact;
    let subject = name_of(fact.subject, model);
    match fact.kind() {
        FactKind::Unknown => format!("{subject} unknown"),
        FactKind::Suspect => {
            format!("{subject} suspect ({epoch}, {incarnation}) by {}", name_of(fact.by, model))
        }
        FactKind::Alive => format!("{subject} alive ({epoch}, {incarnation})"),
        FactKind::Dead => format!("{subject} dead ({epoch}, {incarnation})"),
        FactKind::Left => format!("{subject} left ({epoch}, {incarnation})"),
        FactKind::Joined => format!("{subject} joined ({epoch}, {incarnation})"),
        FactKind::Manifest => format!("{subject} manifest ({epoch}, {incarnation})"),
        FactKind::Unroutable => format!("{subject} unroutable {value}"),
        FactKind::Cloned => format!("{subject} runs twice, the lower at {epoch}"),
        FactKind::Load => format!("{subject} load {value}"),
        FactKind::Coordinator => format!("{subject} leads in term {value}"),
    }
}

pub(super) fn request(body: &[u8]) -> String {
    match Request::decode(body).map(|request| request.ask) {
        Ok(Some(Ask::Digest(digest))) => format!("digest from bucket {}", digest.first_bucket),
        Ok(Some(Ask::Fetch(fetch))) => format!("fetch {}", fetch.subjects.len()),
        Ok(Some(Ask::Push(push))) => format!("push {}", push.records.len()),
        Ok(Some(Ask::Keep(_))) => "keep".to_owned(),
        Ok(Some(Ask::Ping(_))) => "ping".to_owned(),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

pub(super) fn response(body: &[u8]) -> String {
    match Response::decode(body).map(|response| response.reply) {
        Ok(Some(Reply::Digest(digest))) => {
            format!("{} entries up to bucket {}", digest.entries.len(), digest.next_bucket)
        }
        Ok(Some(Reply::Fetch(records))) => format!("{} records", records.records.len()),
        Ok(Some(Reply::Push(_))) => "pushed".to_owned(),
        Ok(Some(Reply::Keep(_))) => "kept".to_owned(),
        Ok(Some(Reply::Ping(_))) => "pong".to_owned(),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn name_of(hash: u64, model: &Model) -> String {
    let hash = IdHash(hash);
    model.index_of_hash(hash).map_or_else(|| hash.to_string(), |index| format!("n{index}"))
}
