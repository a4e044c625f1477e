//! Other versions of the program in one mesh: a later one that says more, and an earlier one that understands less.

use meshnode::wire::link::{Ask, Request};
use meshnode::wire::{Body, Fact, FactKind, MAX_PACKET_LEN, Packet, encode};
use serde::{Deserialize, Serialize};

/// A version of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Release {
    /// From before watchers: it knows no notices, verdicts, promised turns, pings over links or `unroutable`.
    Older,
    /// This one.
    #[default]
    Current,
    /// A later one: everything that it sends has fields, facts and messages that this one does not know.
    Newer,
}

/// A length-delimited field with the number 901 and four bytes.
const UNKNOWN_FIELD: [u8; 7] = [0xaa, 0x38, 4, 1, 2, 3, 4];

/// A kind of fact that nobody knows.
const UNKNOWN_KIND: i32 = 99;

impl Release {
    /// A datagram as this version writes it.
    pub(super) fn writes(self, bytes: Vec<u8>) -> Vec<u8> {
        let longer = bytes.len() + UNKNOWN_FIELD.len() + 64;
        if self != Self::Newer || longer > MAX_PACKET_LEN {
            return bytes;
        }
        let Ok(mut packet) = Packet::decode(&bytes) else {
            return bytes;
        };
        let news = Fact { subject: packet.from, kind: UNKNOWN_KIND, ..Fact::default() };
        packet.facts.insert(0, news);
        [encode(&packet), UNKNOWN_FIELD.to_vec()].concat()
    }

    /// A body over a link as this version writes it.
    pub(super) fn writes_body(self, mut body: Vec<u8>) -> Vec<u8> {
        if self == Self::Newer {
            body.extend(UNKNOWN_FIELD);
        }
        body
    }

    /// What this version sees of a datagram.
    pub(super) fn reads(self, bytes: Vec<u8>) -> Vec<u8> {
        if self != Self::Older {
            return bytes;
        }
        let Ok(mut packet) = Packet::decode(&bytes) else {
            return bytes;
        };
        match &mut packet.body {
            Some(Body::Notice(_) | Body::Verdict(_)) => packet.body = None,
            Some(Body::Ping(ping) | Body::PingReq(ping)) => (ping.next_turn_ms, ping.suspected) = (0, false),
            Some(Body::Ack(ack)) => ack.next_turn_ms = 0,
            Some(Body::Nack(_) | Body::Join(_) | Body::JoinAck(_) | Body::Election(_) | Body::Answer(_))
            | None => {}
        }
        packet.facts.retain(|fact| fact.kind() != FactKind::Unroutable);
        encode(&packet)
    }

    /// What this version sees of a request over a link.
    pub(super) fn reads_body(self, body: Vec<u8>) -> Vec<u8> {
        match Request::decode(&body) {
            Ok(Request { ask: Some(Ask::Ping(_)) }) if self == Self::Older => encode(&Request { ask: None }),
            Ok(_) | Err(_) => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use meshnode::wire::packet::{Notice, Ping};

    use super::*;

    fn packet(body: Body) -> Vec<u8> {
        encode(&Packet { from: 7, epoch: 3, body: Some(body), ..Packet::default() })
    }

    #[test]
    fn a_newer_version_says_what_this_one_skips() {
        let bytes = packet(Body::Ping(Ping { token: 5, ..Ping::default() }));
        let newer = Release::Newer.writes(bytes.clone());
        assert!(newer.len() > bytes.len() + UNKNOWN_FIELD.len());
        let (seen, plain) = (Packet::decode(&newer).unwrap(), Packet::decode(&bytes).unwrap());
        assert_eq!((seen.body, seen.facts.len()), (plain.body, 1));
        assert_eq!(seen.facts[0].kind(), FactKind::Unknown);
    }

    #[test]
    fn an_older_version_does_not_see_what_is_new() {
        let seen = Release::Older.reads(packet(Body::Notice(Notice { round: 1, ..Notice::default() })));
        let seen = Packet::decode(&seen).unwrap();
        assert_eq!((seen.body, seen.from), (None, 7));
        let ping = packet(Body::Ping(Ping { token: 5, next_turn_ms: 900, ..Ping::default() }));
        let seen = Packet::decode(&Release::Older.reads(ping)).unwrap();
        assert_eq!(seen.body, Some(Body::Ping(Ping { token: 5, ..Ping::default() })));
    }
}
