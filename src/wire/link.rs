//! Requests and responses that members exchange over links: anti-entropy, fetching, and the write record.

use super::{MAX_LINK_BODY_LEN, WireError};

/// The buckets of the digest.
pub const BUCKETS: usize = 256;

/// The most entries or records in one message.
pub const MAX_ENTRIES: usize = 8192;

/// The most subjects that one fetch may name.
pub const MAX_FETCH: usize = 512;

/// A request over a link.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// What is asked; none for a later version's request.
    #[prost(oneof = "Ask", tags = "1, 2, 3, 4, 5")]
    pub ask: Option<Ask>,
}

/// What a request asks.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ask {
    /// What do you hold in the buckets that differ?
    #[prost(message, tag = "1")]
    Digest(DigestRequest),
    /// Give me these records.
    #[prost(message, tag = "2")]
    Fetch(FetchRequest),
    /// Take these records.
    #[prost(message, tag = "3")]
    Push(Records),
    /// Keep this write record.
    #[prost(message, tag = "4")]
    Keep(WriteRecord),
    /// Are you there? Asked when datagrams are not answered.
    #[prost(message, tag = "5")]
    Ping(Nothing),
}

/// The answer to a request, of the same kind.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// The answer; none when the request was not understood.
    #[prost(oneof = "Reply", tags = "1, 2, 3, 4, 5")]
    pub reply: Option<Reply>,
}

/// What a response says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Reply {
    /// The entries of the buckets that differ.
    #[prost(message, tag = "1")]
    Digest(DigestResponse),
    /// The records that were asked for, as far as they are held and fit.
    #[prost(message, tag = "2")]
    Fetch(Records),
    /// The records were taken.
    #[prost(message, tag = "3")]
    Push(Nothing),
    /// The write record was merged and kept.
    #[prost(message, tag = "4")]
    Keep(Nothing),
    /// The node is there.
    #[prost(message, tag = "5")]
    Ping(Pong),
}

/// Who answers a ping over a link.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Pong {
    /// Its epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Its incarnation.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
}

/// An empty answer.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Nothing {}

/// The sender's digest, from which the receiver tells what differs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DigestRequest {
    /// The 256 bucket hashes.
    #[prost(fixed64, repeated, tag = "1")]
    pub buckets: Vec<u64>,
    /// Answer from this bucket on.
    #[prost(uint32, tag = "2")]
    pub first_bucket: u32,
    /// The sender's own signed manifest, so that the receiver knows whom it talks to.
    #[prost(bytes = "vec", tag = "3")]
    pub manifest: Vec<u8>,
    /// The sender's write record.
    #[prost(message, optional, tag = "4")]
    pub record: Option<WriteRecord>,
}

/// What the receiver of a digest holds in the buckets that differ.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DigestResponse {
    /// The entries, whole buckets at a time.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
    /// The first bucket that is not covered; 256 when all are.
    #[prost(uint32, tag = "2")]
    pub next_bucket: u32,
    /// The write record of the answering node.
    #[prost(message, optional, tag = "3")]
    pub record: Option<WriteRecord>,
    /// Whether the answering node is warm, so that the record counts as complete.
    #[prost(bool, tag = "4")]
    pub warm: bool,
    /// The buckets that differ, as bits, least significant first.
    #[prost(bytes = "vec", tag = "5")]
    pub differing: Vec<u8>,
}

/// The state of a member, as digests and records carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EntryState {
    /// A later version's state; the entry is skipped.
    Unknown = 0,
    /// Alive or suspect.
    Alive = 1,
    /// Dead.
    Dead = 2,
    /// Left.
    Left = 3,
}

/// What a node holds about one member, without the manifest.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entry {
    /// The member's 32-byte public key.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The member's epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The member's incarnation.
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
    /// Its state.
    #[prost(enumeration = "EntryState", tag = "4")]
    pub state: i32,
    /// The epoch of its manifest.
    #[prost(uint64, tag = "5")]
    pub manifest_epoch: u64,
    /// The seq of its manifest.
    #[prost(uint64, tag = "6")]
    pub seq: u64,
    /// For dead and left: milliseconds since it became so.
    #[prost(uint64, tag = "7")]
    pub age_ms: u64,
}

/// Ask for records by the hashes of their owners' ids.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FetchRequest {
    /// Hashes of ids.
    #[prost(fixed64, repeated, tag = "1")]
    pub subjects: Vec<u64>,
}

/// Entries with their manifests.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Records {
    /// The records.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
}

/// An entry with its manifest.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    /// The member's state.
    #[prost(message, optional, tag = "1")]
    pub entry: Option<Entry>,
    /// The signed manifest as received; empty when the sender has none.
    #[prost(bytes = "vec", tag = "2")]
    pub manifest: Vec<u8>,
    /// Milliseconds since the manifest was first accepted anywhere.
    #[prost(uint64, tag = "3")]
    pub manifest_age_ms: u64,
}

/// Who has attempted how many writes of the summary, and what was last stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WriteRecord {
    /// Days since 1970-01-01, by the store's clock.
    #[prost(uint64, tag = "1")]
    pub day: u64,
    /// Bits of the hours of that day that are taken.
    #[prost(uint32, tag = "2")]
    pub slots: u32,
    /// Attempts of that day and the day before, per writer.
    #[prost(message, repeated, tag = "3")]
    pub attempts: Vec<Attempts>,
    /// The mark of the cluster's history, set at its first write.
    #[prost(fixed64, tag = "4")]
    pub cluster_id: u64,
    /// The term of the value last stored.
    #[prost(uint64, tag = "5")]
    pub term: u64,
    /// The seq of the value last stored.
    #[prost(uint64, tag = "6")]
    pub seq: u64,
    /// When it was stored, in unix seconds of the store's clock.
    #[prost(uint64, tag = "7")]
    pub at: u64,
    /// When a write was last attempted, in unix seconds of the store's clock.
    #[prost(uint64, tag = "8")]
    pub last_attempt: u64,
}

/// The attempts of one writer on one day.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Attempts {
    /// Days since 1970-01-01.
    #[prost(uint64, tag = "1")]
    pub day: u64,
    /// Hash of the writer's id.
    #[prost(fixed64, tag = "2")]
    pub writer: u64,
    /// How many.
    #[prost(uint32, tag = "3")]
    pub count: u32,
}

/// The most counters in a write record.
pub const MAX_ATTEMPTS: usize = 1024;

impl Request {
    /// Decodes the body of a request.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let request: Self = super::decode(bytes, "link request", MAX_LINK_BODY_LEN)?;
        match &request.ask {
            Some(Ask::Digest(digest)) => {
                if digest.buckets.len() != BUCKETS {
                    return Err(WireError::Field { what: "digest request", field: "buckets" });
                }
                check_record(digest.record.as_ref())?;
            }
            Some(Ask::Fetch(fetch)) => super::at_most("fetch", fetch.subjects.len(), MAX_FETCH)?,
            Some(Ask::Push(push)) => super::at_most("push", push.records.len(), MAX_ENTRIES)?,
            Some(Ask::Keep(record)) => check_record(Some(record))?,
            Some(Ask::Ping(_)) | None => {}
        }
        Ok(request)
    }
}

impl Response {
    /// Decodes the body of a response.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let response: Self = super::decode(bytes, "link response", MAX_LINK_BODY_LEN)?;
        match &response.reply {
            Some(Reply::Digest(digest)) => {
                super::at_most("digest response", digest.entries.len(), MAX_ENTRIES)?;
                check_record(digest.record.as_ref())?;
            }
            Some(Reply::Fetch(records)) => {
                super::at_most("fetched records", records.records.len(), MAX_ENTRIES)?;
            }
            Some(Reply::Push(_) | Reply::Keep(_) | Reply::Ping(_)) | None => {}
        }
        Ok(response)
    }
}

fn check_record(record: Option<&WriteRecord>) -> Result<(), WireError> {
    record.map_or(Ok(()), |r| super::at_most("write record", r.attempts.len(), MAX_ATTEMPTS))
}

impl WriteRecord {
    /// Decodes a write record that was persisted.
    pub fn decode_bounded(bytes: &[u8]) -> Result<Self, WireError> {
        let record: Self = super::decode(bytes, "write record", MAX_LINK_BODY_LEN)?;
        check_record(Some(&record))?;
        Ok(record)
    }
}
