//! The plaintext of a datagram: one SWIM or election message, and the facts that ride on it.

use super::{Fact, MAX_PACKET_LEN, WireError};

/// The field number of [`Packet::facts`].
pub const FACTS_TAG: u32 = 5;

/// The most facts that one packet may carry; a packet of 1,155 bytes holds fewer.
pub const MAX_FACTS: usize = 255;

/// The most watchers that a notice names.
pub const MAX_WATCHERS: usize = 32;

/// The most manifests that ride on one packet.
pub const MAX_MANIFESTS: usize = 4;

/// The plaintext of a datagram.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Packet {
    /// Hash of the sender's id.
    #[prost(fixed64, tag = "1")]
    pub from: u64,
    /// The sender's epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The sender's incarnation.
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
    /// Members that the sender holds alive or suspect, itself included.
    #[prost(uint32, tag = "4")]
    pub members: u32,
    /// Facts, most urgent first.
    #[prost(message, repeated, tag = "5")]
    pub facts: Vec<Fact>,
    /// The message; none when the packet only carries facts, or carries a later version's message.
    #[prost(oneof = "Body", tags = "6, 7, 8, 9, 10, 11, 12, 13, 15, 16")]
    pub body: Option<Body>,
    /// Signed manifests that the facts of this packet name: new ones that are small ride along.
    #[prost(bytes = "vec", repeated, tag = "14")]
    pub manifests: Vec<Vec<u8>>,
}

/// The message of a datagram.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// Are you there?
    #[prost(message, tag = "6")]
    Ping(Ping),
    /// Ask somebody else whether they are there.
    #[prost(message, tag = "7")]
    PingReq(Ping),
    /// The target is there.
    #[prost(message, tag = "8")]
    Ack(Ack),
    /// The target is not to be had here.
    #[prost(message, tag = "9")]
    Nack(Nack),
    /// Is there a member at this address?
    #[prost(message, tag = "10")]
    Join(Join),
    /// There is.
    #[prost(message, tag = "11")]
    JoinAck(JoinAck),
    /// To a better-ranked member: will you lead?
    #[prost(message, tag = "12")]
    Election(Election),
    /// I will, or I know who does.
    #[prost(message, tag = "13")]
    Answer(Election),
    /// To a watcher of a suspected member: do you reach it?
    #[prost(message, tag = "15")]
    Notice(Notice),
    /// A watcher says what it saw.
    #[prost(message, tag = "16")]
    Verdict(Verdict),
}

/// A ping names whom it is for, so that another node on that address can say "not me".
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ping {
    /// Random; the answer echoes it.
    #[prost(fixed64, tag = "1")]
    pub token: u64,
    /// Hash of the id of the node that is pinged; 0 is the recipient, for whom alone the datagram is sealed.
    #[prost(fixed64, tag = "2")]
    pub target: u64,
    /// The epoch at which the sender knows it.
    #[prost(uint64, tag = "3")]
    pub target_epoch: u64,
    /// To a watcher: the sender pings it again within this many milliseconds. 0 promises nothing.
    #[prost(uint32, tag = "4")]
    pub next_turn_ms: u32,
    /// The sender has reason to think that the target is gone.
    #[prost(bool, tag = "5")]
    pub suspected: bool,
}

/// The answer to a ping, from the target or through the member that was asked to ping.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Ack {
    /// The token of the ping (of the ping-req, when forwarded).
    #[prost(fixed64, tag = "1")]
    pub token: u64,
    /// Hash of the target's id; 0 is the sender, at the epoch and incarnation of the packet.
    #[prost(fixed64, tag = "2")]
    pub target: u64,
    /// The target's epoch.
    #[prost(uint64, tag = "3")]
    pub target_epoch: u64,
    /// The target's incarnation.
    #[prost(uint64, tag = "4")]
    pub target_incarnation: u64,
    /// The target's boot nonce.
    #[prost(fixed64, tag = "5")]
    pub boot_nonce: u64,
    /// The root of the sender's digest.
    #[prost(fixed64, tag = "6")]
    pub root: u64,
    /// The target's load bucket, plus one; 0 when it has none.
    #[prost(uint32, tag = "7")]
    pub load: u32,
    /// To a watcher: the target pings it within this many milliseconds. 0 promises nothing.
    #[prost(uint32, tag = "8")]
    pub next_turn_ms: u32,
}

/// An accuser tells the watchers of a suspected member, who ping it themselves and answer with a [`Verdict`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Notice {
    /// Names the round; verdicts echo it.
    #[prost(fixed64, tag = "1")]
    pub round: u64,
    /// Hash of the id of the suspected member.
    #[prost(fixed64, tag = "2")]
    pub subject: u64,
    /// The epoch at which the accuser knows it.
    #[prost(uint64, tag = "3")]
    pub subject_epoch: u64,
    /// Earlier verdicts do not count any more: look again.
    #[prost(bool, tag = "4")]
    pub fresh: bool,
    /// Hashes of the ids of all that are asked.
    #[prost(fixed64, repeated, tag = "5")]
    pub watchers: Vec<u64>,
}

/// What a watcher saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Seen {
    /// A later version's verdict; it does not count.
    Unknown = 0,
    /// The subject answered.
    Answers = 1,
    /// It did not answer.
    Silent = 2,
    /// Its host acknowledged, and the process did not answer.
    Stalled = 3,
    /// Its host refuses connections where the process was: it is gone.
    Gone = 4,
}

impl Seen {
    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Answers => "answers",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Gone => "gone",
        }
    }
}

/// A watcher says what it saw: to an accuser that asked, or, when the process is gone, to all other watchers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Verdict {
    /// The round of the notice; 0 when nobody asked.
    #[prost(fixed64, tag = "1")]
    pub round: u64,
    /// Hash of the subject's id.
    #[prost(fixed64, tag = "2")]
    pub subject: u64,
    /// The epoch of the subject that is meant.
    #[prost(uint64, tag = "3")]
    pub subject_epoch: u64,
    /// What was seen.
    #[prost(enumeration = "Seen", tag = "4")]
    pub seen: i32,
}

/// Why there is no ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum NackReason {
    /// A later version's reason.
    Unknown = 0,
    /// Another node has this address, or this node is at another epoch.
    NotMe = 1,
    /// The relay pinged the target and heard nothing yet.
    NoAnswer = 2,
    /// The relay does not know the target.
    NotKnown = 3,
}

/// Somebody heard the ping or ping-req, but has no ack.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Nack {
    /// The token of the ping or ping-req.
    #[prost(fixed64, tag = "1")]
    pub token: u64,
    /// Why.
    #[prost(enumeration = "NackReason", tag = "2")]
    pub reason: i32,
}

/// Sent to an address without knowing who is there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Join {
    /// The sender's 32-byte public key.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Random; the answer echoes it.
    #[prost(fixed64, tag = "2")]
    pub token: u64,
    /// The root of the sender's digest.
    #[prost(fixed64, tag = "3")]
    pub root: u64,
}

/// The answer to a join: who is here, and where links reach it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JoinAck {
    /// The sender's 32-byte public key.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The token of the join.
    #[prost(fixed64, tag = "2")]
    pub token: u64,
    /// The root of the sender's digest.
    #[prost(fixed64, tag = "3")]
    pub root: u64,
}

/// A message of the bully election.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Election {
    /// The highest term that the sender has seen.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// In an Answer: hash of the id of the leader that the sender follows, 0 when it follows none.
    #[prost(fixed64, tag = "2")]
    pub leader: u64,
}

impl Packet {
    /// Leaves out what the recipient knows anyway: pings and acks are most of all traffic.
    pub fn abbreviate(&mut self, recipient: u64) {
        match &mut self.body {
            Some(Body::Ping(ping)) if ping.target == recipient => ping.target = 0,
            Some(Body::Ack(ack))
                if ack.target == self.from
                    && ack.target_epoch == self.epoch
                    && ack.target_incarnation == self.incarnation =>
            {
                (ack.target, ack.target_epoch, ack.target_incarnation) = (0, 0, 0);
            }
            _ => {}
        }
    }

    /// Puts in what [`Packet::abbreviate`] left out.
    pub fn spell_out(&mut self, recipient: u64) {
        match &mut self.body {
            Some(Body::Ping(ping)) if ping.target == 0 => ping.target = recipient,
            Some(Body::Ack(ack)) if ack.target == 0 => {
                (ack.target, ack.target_epoch, ack.target_incarnation) =
                    (self.from, self.epoch, self.incarnation);
            }
            _ => {}
        }
    }

    /// Decodes the plaintext of a datagram.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let packet: Self = super::decode(bytes, "packet", MAX_PACKET_LEN)?;
        super::at_most("facts of a packet", packet.facts.len(), MAX_FACTS)?;
        super::at_most("manifests of a packet", packet.manifests.len(), MAX_MANIFESTS)?;
        if let Some(Body::Notice(notice)) = &packet.body {
            super::at_most("watchers of a notice", notice.watchers.len(), MAX_WATCHERS)?;
        }
        Ok(packet)
    }
}
