//! The wire format: Protobuf bodies (by `prost` derive) for datagrams, links and signed manifests.
//!
//! Normative text: `docs/protocol.md`. Decoding never panics and bounds every collection; unknown fields and
//! unknown kinds are skipped, so mixed versions live together. Sealing and TLS are not here but in `transport`.

pub mod digest;
pub mod fact;
pub mod hello;
pub mod link;
pub mod manifest;
pub mod packet;
#[cfg(test)]
mod tests;
pub mod whoami;

pub use fact::{Fact, FactKind};
pub use packet::{Body, Packet};

/// The version byte of sealed datagrams and of the hello.
pub const WIRE_VERSION: u8 = 1;

/// The largest sealed datagram.
pub const MAX_DATAGRAM_LEN: usize = 1200;

/// What sealing adds to a packet: version, key id, seal nonce, counter and the AEAD's tag.
pub const SEAL_OVERHEAD: usize = 1 + 4 + 16 + 8 + 16;

/// The largest encoded [`Packet`].
pub const MAX_PACKET_LEN: usize = MAX_DATAGRAM_LEN - SEAL_OVERHEAD;

/// The largest body of a request or response over a link.
pub const MAX_LINK_BODY_LEN: usize = 1 << 20;

/// The bytes were refused; nothing was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not the Protobuf message that was expected.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// The message that was expected.
        what: &'static str,
        /// The decoder's complaint.
        detail: String,
    },
    /// Longer than its limit.
    #[error("{what} of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// Its length (bytes, or entries of a list).
        len: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// A field holds what it must not.
    #[error("{what}: field {field} is not valid")]
    Field {
        /// The message.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// Decodes one message of at most `limit` bytes.
fn decode<M: prost::Message + Default>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
) -> Result<M, WireError> {
    at_most(what, bytes.len(), limit)?;
    M::decode(bytes).map_err(|error| WireError::Malformed { what, detail: error.to_string() })
}

fn at_most(what: &'static str, len: usize, limit: usize) -> Result<(), WireError> {
    if len > limit { Err(WireError::TooLong { what, len, limit }) } else { Ok(()) }
}

/// Encodes one message.
pub fn encode<M: prost::Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}
