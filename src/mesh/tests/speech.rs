//! Nodes of another version: what they send, and what reaches them, is rewritten on its way.

use std::collections::BTreeMap;

use prost::Message as _;

use super::settings::{id, identity};
use crate::wire::link::{Ask, Reply, Request, Response};
use crate::wire::manifest::SignedManifest;
use crate::wire::{Body, Fact, FactKind, MAX_PACKET_LEN, Packet, encode};

/// Field 100 as a number, and field 101 as three bytes.
pub(super) const UNKNOWN_FIELDS: [u8; 9] = [0xa0, 0x06, 0x07, 0xaa, 0x06, 0x03, b'n', b'e', b'w'];

/// Field 60 with an empty message: a later version's packet body.
const UNKNOWN_BODY: [u8; 3] = [0xe2, 0x03, 0x00];

/// Which version a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// It knows nothing of watchers, turns and witnesses.
    Older,
    /// It has fields, facts and messages that nobody here knows.
    Later,
}

/// Who speaks another version than this one.
pub(super) type Speeches = BTreeMap<usize, Speech>;

/// The outer message of a manifest, as another implementation would have it.
#[derive(Clone, PartialEq, prost::Message)]
struct Outer {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

/// What `node` sends, as its version would have written it.
pub(super) fn said(speeches: &Speeches, node: usize, bytes: Vec<u8>) -> Vec<u8> {
    match speeches.get(&node) {
        None => bytes,
        Some(Speech::Older) => without_news(bytes),
        Some(Speech::Later) => with_more(node, &bytes),
    }
}

/// What `node` makes of what it gets.
pub(super) fn heard(speeches: &Speeches, node: usize, bytes: Vec<u8>) -> Vec<u8> {
    if speeches.get(&node) == Some(&Speech::Older) { without_news(bytes) } else { bytes }
}

/// As `said`, for a question over a link.
pub(super) fn asked(speeches: &Speeches, node: usize, body: Vec<u8>) -> Vec<u8> {
    if speeches.get(&node) != Some(&Speech::Later) {
        return body;
    }
    let mut request = Request::decode(body.as_slice()).unwrap();
    match &mut request.ask {
        Some(Ask::Digest(digest)) => extend_own(node, &mut digest.manifest),
        Some(Ask::Push(records)) => {
            records.records.iter_mut().for_each(|record| extend_own(node, &mut record.manifest));
        }
        Some(Ask::Fetch(_) | Ask::Keep(_) | Ask::Ping(_)) | None => {}
    }
    [encode(&request), UNKNOWN_FIELDS.to_vec()].concat()
}

/// As `said`, for an answer over a link.
pub(super) fn answered(speeches: &Speeches, node: usize, body: Vec<u8>) -> Vec<u8> {
    if speeches.get(&node) != Some(&Speech::Later) {
        return body;
    }
    let mut response = Response::decode(body.as_slice()).unwrap();
    if let Some(Reply::Fetch(records)) = &mut response.reply {
        records.records.iter_mut().for_each(|record| extend_own(node, &mut record.manifest));
    }
    [encode(&response), UNKNOWN_FIELDS.to_vec()].concat()
}

/// The manifest with fields of a later version, rightly signed.
pub(super) fn extended(node: usize, manifest: &[u8]) -> Vec<u8> {
    let mut outer = Outer::decode(manifest).unwrap();
    outer.body.extend(UNKNOWN_FIELDS);
    outer.signature = identity(node).sign(&[b"mesh/rec/1", outer.body.as_slice()].concat()).to_vec();
    outer.encode_to_vec()
}

fn extend_own(node: usize, manifest: &mut Vec<u8>) {
    let is_own = SignedManifest::verify(manifest).is_ok_and(|signed| signed.manifest().id == id(node));
    if is_own && !manifest.ends_with(&UNKNOWN_FIELDS) {
        *manifest = extended(node, manifest);
    }
}

fn with_more(node: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = Packet::decode(bytes).unwrap();
    packet.manifests.iter_mut().for_each(|manifest| extend_own(node, manifest));
    // What does not fit any more goes another time.
    while packet.encoded_len() > MAX_PACKET_LEN && packet.manifests.pop().is_some() {}
    let unknown =
        Fact { kind: 99, value: 7, ..Fact::about(id(node).hash(), Default::default(), FactKind::Dead) };
    if packet.encoded_len() + unknown.packed_len() <= MAX_PACKET_LEN {
        packet.facts.insert(0, unknown);
    }
    let mut more = encode(&packet);
    if packet.body.is_none() && more.len() + UNKNOWN_BODY.len() <= MAX_PACKET_LEN {
        more.extend(UNKNOWN_BODY);
    }
    if more.len() + UNKNOWN_FIELDS.len() <= MAX_PACKET_LEN {
        more.extend(UNKNOWN_FIELDS);
    }
    more
}

/// Without the messages, facts and fields that came with watchers and witnesses.
fn without_news(bytes: Vec<u8>) -> Vec<u8> {
    // What the harness sends to try the decoder is nobody's speech.
    let Ok(mut packet) = Packet::decode(&bytes) else { return bytes };
    packet.facts.retain(|fact| !matches!(fact.kind(), FactKind::Unroutable | FactKind::Cloned));
    match &mut packet.body {
        Some(Body::Notice(_) | Body::Verdict(_)) => packet.body = None,
        Some(Body::Ping(ping) | Body::PingReq(ping)) => (ping.next_turn_ms, ping.suspected) = (0, false),
        Some(Body::Ack(ack)) => ack.next_turn_ms = 0,
        Some(Body::Nack(_) | Body::Join(_) | Body::JoinAck(_) | Body::Election(_) | Body::Answer(_))
        | None => {}
    }
    encode(&packet)
}
