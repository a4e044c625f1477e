//! The cluster's keys: the first one seals, every one of them opens.

use std::fmt;

use aws_lc_rs::aead::{self, LessSafeKey, UnboundKey};
use aws_lc_rs::{error::Unspecified, hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::entropy;

/// Keys that one keyring may hold; a rotation needs two.
const MAX_KEYS: usize = 8;

/// Separates the sub-keys of datagrams from all others.
const DATAGRAM_LABEL: &[u8] = b"meshnode/1 udp";

/// Separates the proof on links from all others.
const LINK_LABEL: &[u8] = b"link";

/// Separates the mark of the cluster's history from all others.
const CLUSTER_ID_LABEL: &[u8] = b"meshnode/1 cluster-id";

/// What all members of a cluster know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey {
    bytes: [u8; 32],
    id: KeyId,
}

/// Names a key without giving it away: the first four bytes of its BLAKE3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl ClusterKey {
    /// A fresh key.
    pub fn random() -> Self {
        Self::from_bytes(entropy::random())
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let [a, b, c, d, ..] = *blake3::hash(&bytes).as_bytes();
        Self { bytes, id: KeyId(u32::from_be_bytes([a, b, c, d])) }
    }

    /// The key as a line of a key file.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.bytes)
    }

    /// Its name.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The key of all datagrams under one seal nonce.
    pub(super) fn datagram_key(
        &self,
        cluster: &str,
        seal_nonce: &[u8; 16],
    ) -> Result<LessSafeKey, Unspecified> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, seal_nonce).extract(&self.bytes);
        let info = [DATAGRAM_LABEL, cluster.as_bytes()];
        let key: UnboundKey = prk.expand(&info, &aead::CHACHA20_POLY1305)?.into();
        Ok(LessSafeKey::new(key))
    }

    /// The key of the proofs on links.
    pub(super) fn link_key(&self) -> Result<hmac::Key, Unspecified> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.bytes);
        Ok(prk.expand(&[LINK_LABEL], hmac::HMAC_SHA256)?.into())
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey({})", self.id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The keys that a node accepts, by preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    sealing: ClusterKey,
    others: Vec<ClusterKey>,
}

/// The text is not a keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// No key in it.
    #[error(
        "it holds no cluster key; expected lines of 32 bytes in base64, as `meshnode keygen` prints them"
    )]
    Empty,
    /// A line that is no key. The line itself is kept out of the message, for it may be a mistyped secret.
    #[error("line {0} is not a cluster key; expected 32 bytes in base64, as `meshnode keygen` prints them")]
    Line(usize),
    /// A key twice.
    #[error("line {0} repeats an earlier key")]
    Repeated(usize),
    /// More keys than anybody needs.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
}

impl Keyring {
    /// A keyring of one key.
    pub const fn of(key: ClusterKey) -> Self {
        Self { sealing: key, others: Vec::new() }
    }

    /// A keyring of `keys`, of which the first seals.
    pub fn from_keys(keys: &[[u8; 32]]) -> Result<Self, InvalidKeyring> {
        let (sealing, others) = keys.split_first().ok_or(InvalidKeyring::Empty)?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidKeyring::TooMany);
        }
        let others = others.iter().copied().map(ClusterKey::from_bytes).collect();
        Ok(Self { sealing: ClusterKey::from_bytes(*sealing), others })
    }

    /// Reads a key file: one key a line, the first seals.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyring> {
        let mut keys: Vec<[u8; 32]> = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = STANDARD.decode(line).ok().and_then(|key| key.try_into().ok());
            let key = key.ok_or(InvalidKeyring::Line(index + 1))?;
            if keys.contains(&key) {
                return Err(InvalidKeyring::Repeated(index + 1));
            }
            keys.push(key);
        }
        Self::from_keys(&keys)
    }

    /// The key that seals.
    pub const fn sealing(&self) -> &ClusterKey {
        &self.sealing
    }

    /// The names of all keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        std::iter::once(&self.sealing).chain(&self.others).map(ClusterKey::id)
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Option<&ClusterKey> {
        std::iter::once(&self.sealing).chain(&self.others).find(|key| key.id() == id)
    }

    /// The mark that a cluster's history gets at its first write, when no value says another one.
    pub fn cluster_id(&self, cluster: &str) -> u64 {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.sealing.bytes);
        let info = [CLUSTER_ID_LABEL, cluster.as_bytes()];
        let mut bytes = [0; 8];
        let filled = prk.expand(&info, EightBytes).and_then(|okm| okm.fill(&mut bytes));
        debug_assert!(filled.is_ok(), "HKDF gives eight bytes");
        u64::from_be_bytes(bytes)
    }
}

struct EightBytes;

impl hkdf::KeyType for EightBytes {
    fn len(&self) -> usize {
        8
    }
}
