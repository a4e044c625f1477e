//! The bounds on what is accepted: lengths, counts, and fields that hold what they must not.

use super::vectors::{a_write_record, bare, buckets};
use crate::wire::hello::{Hello, MAX_HELLO_LEN};
use crate::wire::link::{
    Ask, Attempts, DigestRequest, DigestResponse, Entry, EntryState, FetchRequest, MAX_ATTEMPTS, MAX_ENTRIES,
    MAX_FETCH, Record, Records, Reply, Request, Response, WriteRecord,
};
use crate::wire::packet::{MAX_FACTS, MAX_MANIFESTS};
use crate::wire::whoami::{MAX_WHOAMI_LEN, WhoamiRequest, WhoamiResponse};
use crate::wire::{Fact, FactKind, MAX_LINK_BODY_LEN, MAX_PACKET_LEN, Packet, WireError, encode};

/// The limit that refused, if one did.
fn limit<T>(result: Result<T, WireError>) -> Option<usize> {
    match result {
        Err(WireError::TooLong { limit, .. }) => Some(limit),
        Err(WireError::Malformed { .. } | WireError::Field { .. }) | Ok(_) => None,
    }
}

/// A message with an unknown field, so that it has exactly this length.
fn padded(message: Vec<u8>, len: usize) -> Vec<u8> {
    let mut bytes = message;
    bytes.extend([0xca, 0x3e]);
    let mut content = len - bytes.len() - 3;
    // The length in three bytes, however small it is.
    for i in 0..3 {
        bytes.push((content & 127) as u8 | if i < 2 { 128 } else { 0 });
        content >>= 7;
    }
    bytes.resize(len, 0);
    bytes
}

#[test]
fn messages_may_have_their_limit_and_not_a_byte_more() {
    let check = |read: &dyn Fn(&[u8]) -> Option<usize>, expected: usize| {
        assert_eq!(read(&padded(Vec::new(), expected)), None);
        assert_eq!(read(&padded(Vec::new(), expected + 1)), Some(expected));
    };
    check(&|bytes| limit(Packet::decode(bytes)), MAX_PACKET_LEN);
    check(&|bytes| limit(Hello::decode(bytes)), MAX_HELLO_LEN);
    check(&|bytes| limit(Request::decode(bytes)), MAX_LINK_BODY_LEN);
    check(&|bytes| limit(Response::decode(bytes)), MAX_LINK_BODY_LEN);
    check(&|bytes| limit(WriteRecord::decode_bounded(bytes)), MAX_LINK_BODY_LEN);
    check(&|bytes| limit(WhoamiRequest::decode(bytes)), MAX_WHOAMI_LEN);
    check(&|bytes| limit(WhoamiResponse::decode(bytes)), MAX_WHOAMI_LEN);
}

#[test]
fn a_packet_holds_a_bounded_number_of_facts_and_manifests() {
    let facts =
        |count| limit(Packet::decode(&encode(&Packet { facts: vec![Fact::default(); count], ..bare() })));
    assert_eq!((facts(MAX_FACTS), facts(MAX_FACTS + 1)), (None, Some(MAX_FACTS)));
    let manifests =
        |count| limit(Packet::decode(&encode(&Packet { manifests: vec![vec![1]; count], ..bare() })));
    assert_eq!((manifests(MAX_MANIFESTS), manifests(MAX_MANIFESTS + 1)), (None, Some(MAX_MANIFESTS)));
}

fn ask(ask: Ask) -> Result<Request, WireError> {
    Request::decode(&encode(&Request { ask: Some(ask) }))
}

fn reply(reply: Reply) -> Result<Response, WireError> {
    Response::decode(&encode(&Response { reply: Some(reply) }))
}

fn crowded() -> WriteRecord {
    WriteRecord { attempts: vec![Attempts::default(); MAX_ATTEMPTS + 1], ..a_write_record() }
}

#[test]
fn lists_in_requests_and_responses_are_bounded() {
    let records = |count| Records { records: vec![Record::default(); count] };
    assert_eq!(limit(ask(Ask::Fetch(FetchRequest { subjects: vec![1; MAX_FETCH] }))), None);
    assert_eq!(limit(ask(Ask::Fetch(FetchRequest { subjects: vec![1; MAX_FETCH + 1] }))), Some(MAX_FETCH));
    assert_eq!(limit(ask(Ask::Push(records(MAX_ENTRIES)))), None);
    assert_eq!(limit(ask(Ask::Push(records(MAX_ENTRIES + 1)))), Some(MAX_ENTRIES));
    assert_eq!(limit(reply(Reply::Fetch(records(MAX_ENTRIES + 1)))), Some(MAX_ENTRIES));
    let entries = vec![Entry::default(); MAX_ENTRIES + 1];
    assert_eq!(
        limit(reply(Reply::Digest(DigestResponse { entries, ..DigestResponse::default() }))),
        Some(MAX_ENTRIES)
    );
}

#[test]
fn write_records_are_bounded_wherever_they_travel() {
    assert_eq!(limit(ask(Ask::Keep(a_write_record()))), None);
    assert_eq!(limit(ask(Ask::Keep(crowded()))), Some(MAX_ATTEMPTS));
    let digest = DigestRequest { buckets: buckets(), record: Some(crowded()), ..DigestRequest::default() };
    assert_eq!(limit(ask(Ask::Digest(digest))), Some(MAX_ATTEMPTS));
    let digest = DigestResponse { record: Some(crowded()), ..DigestResponse::default() };
    assert_eq!(limit(reply(Reply::Digest(digest))), Some(MAX_ATTEMPTS));
    assert_eq!(limit(WriteRecord::decode_bounded(&encode(&crowded()))), Some(MAX_ATTEMPTS));
}

#[test]
fn a_digest_has_exactly_all_buckets() {
    let digest = |buckets| Ask::Digest(DigestRequest { buckets, ..DigestRequest::default() });
    assert!(ask(digest(buckets())).is_ok());
    let expected = WireError::Field { what: "digest request", field: "buckets" };
    for wrong in [Vec::new(), vec![0; 255], vec![0; 257]] {
        assert_eq!(ask(digest(wrong)), Err(expected.clone()));
    }
}

#[test]
fn what_a_later_version_means_is_unknown_and_not_an_error() {
    let fact = Fact { kind: 99, ..Fact::default() };
    let packet = Packet::decode(&encode(&Packet { facts: vec![fact], ..bare() })).unwrap();
    assert_eq!(packet.facts[0].kind(), FactKind::Unknown);
    assert_eq!(Entry { state: 99, ..Entry::default() }.state(), EntryState::Unknown);
    // Fields 9 of a request and of a response are no question and no answer yet.
    assert_eq!(Request::decode(&[0x4a, 0x00]), Ok(Request { ask: None }));
    assert_eq!(Response::decode(&[0x4a, 0x00]), Ok(Response { reply: None }));
}

#[test]
fn a_port_is_a_port_and_an_address_an_address() {
    for (port, expected) in [(0, None), (1, Some(1)), (65_535, Some(65_535)), (65_536, None)] {
        assert_eq!(WhoamiRequest { port }.checked_port().ok(), expected, "{port}");
    }
    for len in [0, 3, 5, 15, 17] {
        assert!(WhoamiResponse { observed: vec![1; len], confirmed: true }.ip().is_err(), "{len}");
    }
    for ip in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(WhoamiResponse::new(ip.parse().unwrap(), true).ip(), Ok(ip.parse().unwrap()));
    }
}
