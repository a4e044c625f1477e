//! One example of every message, with all fields set, and how each is read.

use crate::id::{Identity, ManifestVersion, NodeId};
use crate::manifest::{
    Capabilities, Gpu, Health, HostPolicy, Manifest, Protocol, Route, Service, Split, Standing, Timeouts,
};
use crate::time::Duration;
use crate::wire::hello::{Hello, Role};
use crate::wire::link::{
    Ask, Attempts, BUCKETS, DigestRequest, DigestResponse, Entry, EntryState, FetchRequest, Nothing, Record,
    Records, Reply, Request, Response, WriteRecord,
};
use crate::wire::manifest::SignedManifest;
use crate::wire::packet::{Ack, Election, Join, JoinAck, Nack, NackReason, Notice, Ping, Seen, Verdict};
use crate::wire::whoami::{WhoamiRequest, WhoamiResponse};
use crate::wire::{Body, Fact, FactKind, Packet, WireError, encode};

/// Reads the bytes of one message, and writes it again.
type Reencode = fn(&[u8]) -> Result<Vec<u8>, WireError>;

/// One message as bytes.
pub(super) struct Vector {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) reencode: Reencode,
}

pub(super) fn packet(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    Packet::decode(bytes).map(|message| encode(&message))
}

pub(super) fn hello(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    Hello::decode(bytes).map(|message| encode(&message))
}

pub(super) fn request(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    Request::decode(bytes).map(|message| encode(&message))
}

pub(super) fn response(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    Response::decode(bytes).map(|message| encode(&message))
}

pub(super) fn write_record(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    WriteRecord::decode_bounded(bytes).map(|message| encode(&message))
}

pub(super) fn whoami_request(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    WhoamiRequest::decode(bytes).map(|message| encode(&message))
}

pub(super) fn whoami_response(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    WhoamiResponse::decode(bytes).map(|message| encode(&message))
}

pub(super) fn signed(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    SignedManifest::verify(bytes).map(|manifest| manifest.bytes().to_vec())
}

/// Everything that reads bytes from others.
pub(super) const READERS: [Reencode; 8] =
    [packet, hello, request, response, write_record, whoami_request, whoami_response, signed];

/// All messages. New ones are added at the end; one that is here never changes.
pub(super) fn all() -> Vec<Vector> {
    let mut all = Vec::new();
    let mut add = |name, bytes, reencode| all.push(Vector { name, bytes, reencode });
    for (name, body) in bodies() {
        add(name, encode(&Packet { body: Some(body), ..bare() }), packet as Reencode);
    }
    add("packet.facts", encode(&Packet { facts: facts(), ..bare() }), packet);
    let small = SignedManifest::sign(small_manifest(), &identity(1)).unwrap();
    add("packet.manifests", encode(&Packet { manifests: vec![small.bytes().to_vec()], ..bare() }), packet);
    add("hello", encode(&a_hello()), hello);
    for (name, ask) in asks(small.bytes()) {
        add(name, encode(&Request { ask: Some(ask) }), request);
    }
    for (name, reply) in replies(small.bytes()) {
        add(name, encode(&Response { reply: Some(reply) }), response);
    }
    add("write_record", encode(&a_write_record()), write_record);
    add("whoami.request", encode(&WhoamiRequest { port: 7946 }), whoami_request);
    add("whoami.response", encode(&WhoamiResponse::new([192, 0, 2, 7].into(), true)), whoami_response);
    add("manifest.small", small.bytes().to_vec(), signed);
    let full = SignedManifest::sign(full_manifest(), &identity(2)).unwrap();
    add("manifest.full", full.bytes().to_vec(), signed);
    let standing = Standing { penalty: 28, damped: true, ..Standing::default() };
    let damped = SignedManifest::sign(Manifest { standing, ..small_manifest() }, &identity(1)).unwrap();
    add("manifest.damped", damped.bytes().to_vec(), signed);
    add("packet.cloned", encode(&Packet { facts: vec![cloned()], ..bare() }), packet);
    all
}

pub(super) fn identity(seed: u8) -> Identity {
    Identity::from_secret(&[seed; 32])
}

fn id(seed: u8) -> NodeId {
    identity(seed).id()
}

pub(super) fn bare() -> Packet {
    let from = id(1).hash().0;
    Packet { from, epoch: 1_795_000_000, incarnation: 2, members: 5, ..Packet::default() }
}

fn bodies() -> [(&'static str, Body); 10] {
    let ping = Ping {
        token: 0x0102_0304_0506_0708,
        target: id(2).hash().0,
        target_epoch: 1_795_000_001,
        next_turn_ms: 2_500,
        suspected: true,
    };
    let ack = Ack {
        token: ping.token,
        target: ping.target,
        target_epoch: ping.target_epoch,
        target_incarnation: 3,
        boot_nonce: 0x1111,
        root: 0x2222,
        load: 17,
        next_turn_ms: 1_250,
    };
    let (round, subject, subject_epoch) = (0x3333, ping.target, ping.target_epoch);
    let watchers = vec![id(3).hash().0, id(4).hash().0];
    let notice = Notice { round, subject, subject_epoch, fresh: true, watchers };
    let verdict = Verdict { round, subject, subject_epoch, seen: Seen::Stalled.into() };
    let key = id(1).public_key().to_vec();
    [
        ("packet.ping", Body::Ping(ping)),
        ("packet.ping_req", Body::PingReq(ping)),
        ("packet.ack", Body::Ack(ack)),
        ("packet.nack", Body::Nack(Nack { token: ping.token, reason: NackReason::NoAnswer.into() })),
        ("packet.join", Body::Join(Join { id: key.clone(), token: 5, root: 6 })),
        ("packet.join_ack", Body::JoinAck(JoinAck { id: key, token: 5, root: 7 })),
        ("packet.election", Body::Election(Election { term: 12, leader: 0 })),
        ("packet.answer", Body::Answer(Election { term: 13, leader: id(3).hash().0 })),
        ("packet.notice", Body::Notice(notice)),
        ("packet.verdict", Body::Verdict(verdict)),
    ]
}

pub(super) fn facts() -> Vec<Fact> {
    let kinds = [
        FactKind::Alive,
        FactKind::Suspect,
        FactKind::Dead,
        FactKind::Left,
        FactKind::Joined,
        FactKind::Manifest,
        FactKind::Load,
        FactKind::Coordinator,
    ];
    let fact = |(i, kind): (usize, FactKind)| Fact {
        subject: id(2).hash().0,
        epoch: 1_795_000_000 + i as u64,
        incarnation: i as u64,
        kind: kind.into(),
        by: if i % 2 == 1 { id(3).hash().0 } else { 0 },
        value: i as u64 * 100,
    };
    kinds.into_iter().enumerate().map(fact).collect()
}

fn cloned() -> Fact {
    let kind = FactKind::Cloned.into();
    Fact { subject: id(2).hash().0, epoch: 1_795_000_000, incarnation: 1_795_000_001, kind, by: 7, value: 8 }
}

fn a_hello() -> Hello {
    Hello {
        cluster: "prod".to_owned(),
        key_id: 0xdead_beef,
        role: Role::DiallerIsClient.into(),
        boot_nonce: 42,
        epoch: 1_795_000_000,
        mac: vec![7; 32],
        known_epoch: 1_794_000_000,
        watch: false,
    }
}

pub(super) fn a_write_record() -> WriteRecord {
    WriteRecord {
        day: 20_780,
        slots: 0b101,
        attempts: vec![Attempts { day: 20_780, writer: id(1).hash().0, count: 3 }],
        cluster_id: 0x5be1_c09a_77d0_e213,
        term: 12,
        seq: 4711,
        at: 1_795_400_000,
        last_attempt: 1_795_400_100,
    }
}

pub(super) fn buckets() -> Vec<u64> {
    (0..BUCKETS as u64).map(|bucket| bucket % 3).collect()
}

fn asks(manifest: &[u8]) -> [(&'static str, Ask); 4] {
    let digest = DigestRequest {
        buckets: buckets(),
        first_bucket: 9,
        manifest: manifest.to_vec(),
        record: Some(a_write_record()),
    };
    [
        ("request.digest", Ask::Digest(digest)),
        ("request.fetch", Ask::Fetch(FetchRequest { subjects: vec![id(1).hash().0, id(2).hash().0] })),
        ("request.push", Ask::Push(records(manifest))),
        ("request.keep", Ask::Keep(a_write_record())),
    ]
}

fn replies(manifest: &[u8]) -> [(&'static str, Reply); 4] {
    let digest = DigestResponse {
        entries: vec![entry(EntryState::Alive), entry(EntryState::Left)],
        next_bucket: 256,
        record: Some(a_write_record()),
        warm: true,
        differing: vec![0b1000_0001; 32],
    };
    [
        ("response.digest", Reply::Digest(digest)),
        ("response.fetch", Reply::Fetch(records(manifest))),
        ("response.push", Reply::Push(Nothing {})),
        ("response.keep", Reply::Keep(Nothing {})),
    ]
}

fn entry(state: EntryState) -> Entry {
    Entry {
        id: id(1).public_key().to_vec(),
        epoch: 1_795_000_000,
        incarnation: 2,
        state: state.into(),
        manifest_epoch: 1_795_000_000,
        seq: 3,
        age_ms: 60_000,
    }
}

fn records(manifest: &[u8]) -> Records {
    let record =
        Record { entry: Some(entry(EntryState::Alive)), manifest: manifest.to_vec(), manifest_age_ms: 1500 };
    Records { records: vec![record] }
}

pub(super) fn small_manifest() -> Manifest {
    Manifest {
        cluster: "prod".to_owned(),
        id: id(1),
        version: ManifestVersion { epoch: 1_795_000_000, seq: 1 },
        ttl: Duration::from_secs(7200),
        addr: None,
        name: "n1".to_owned(),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        services: Vec::new(),
        routes: Vec::new(),
        draining: false,
        public_url: String::new(),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: "0.1.0".to_owned(),
    }
}

pub(super) fn full_manifest() -> Manifest {
    Manifest {
        id: id(2),
        addr: Some("[2001:db8::1]:7946".parse().unwrap()),
        zone: "eu".to_owned(),
        tier: 1,
        capabilities: Capabilities {
            cpu_cores: 16,
            memory_bytes: 64 << 30,
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            gpus: vec![Gpu { name: "RTX 4090".to_owned(), memory_bytes: 24 << 30 }],
        },
        services: vec![service()],
        routes: vec![Route {
            rev: 3,
            split: vec![Split { version: "^2".to_owned(), percent: 10 }],
            hedge_after: Duration::from_millis(250),
            affinity_header: "x-session".to_owned(),
            ..Route::default_of("rag".parse().unwrap())
        }],
        draining: true,
        public_url: "https://n2.example.com".to_owned(),
        max_writes_per_day: Some(0),
        standing: Standing {
            priority: -5,
            offers: true,
            store_id: 0x77,
            store_remote: true,
            store_ok: true,
            leading_term: 12,
            ..Standing::default()
        },
        ..small_manifest()
    }
}

pub(super) fn service() -> Service {
    Service {
        name: "rag".parse().unwrap(),
        port: 8102,
        version: "1.4.2".to_owned(),
        health: Health::Degraded,
        weight: 3,
        tags: vec!["gpu".to_owned()],
        protocol: Protocol::H2c,
        timeouts: Timeouts {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: Duration::ZERO,
        },
        max_in_flight: 256,
        host: HostPolicy::Backend,
    }
}
