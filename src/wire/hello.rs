//! The hello: the first bytes on a link, before any protocol is spoken. Each side proves the cluster key.

use super::WireError;

/// The longest encoded hello.
pub const MAX_HELLO_LEN: usize = 512;

/// What both sides say before the HTTP/2 preface, length-prefixed by two bytes, big endian; the dialler first.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// The cluster's name.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// Which key of the keyring the proof is made with.
    #[prost(fixed32, tag = "2")]
    pub key_id: u32,
    /// Who will be the HTTP client on this link: see [`Role`].
    #[prost(enumeration = "Role", tag = "3")]
    pub role: i32,
    /// The sender's boot nonce.
    #[prost(fixed64, tag = "4")]
    pub boot_nonce: u64,
    /// The sender's epoch.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
    /// The proof of the cluster key on this very connection.
    #[prost(bytes = "vec", tag = "6")]
    pub mac: Vec<u8>,
    /// The epoch that the sender knows of the other side, 0 when none: a node that lost its disk takes it plus one.
    #[prost(uint64, tag = "7")]
    pub known_epoch: u64,
    /// The dialler watches the acceptor with this link: it is kept although nothing is said on it.
    #[prost(bool, tag = "8")]
    pub watch: bool,
}

/// Who will be the HTTP client on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Role {
    /// A later version's role; refused.
    Unknown = 0,
    /// The dialler sends requests.
    DiallerIsClient = 1,
    /// The acceptor sends requests: how a node behind NAT lets others reach it. Reserved; refused for now.
    AcceptorIsClient = 2,
}

impl Hello {
    /// Decodes a hello.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        super::decode(bytes, "hello", MAX_HELLO_LEN)
    }
}
