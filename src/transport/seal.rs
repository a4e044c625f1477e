//! The seal of datagrams: everything that is sent is sealed for one recipient.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use aws_lc_rs::error::Unspecified;

use super::keyring::Keyring;
use crate::entropy;
use crate::id::IdHash;
use crate::wire::{MAX_DATAGRAM_LEN, MAX_PACKET_LEN, SEAL_OVERHEAD, WIRE_VERSION};

/// Version, key id, seal nonce and counter.
pub(super) const HEADER_LEN: usize = 1 + 4 + 16 + 8;

pub(super) const TAG_LEN: usize = 16;

const _: () = assert!(HEADER_LEN + TAG_LEN == SEAL_OVERHEAD);

/// A seal nonce is replaced after so many datagrams.
const MAX_COUNTER: u64 = 1 << 32;

/// Stands for the recipient of a Join, who is not known.
pub(super) const NOBODY: IdHash = IdHash(0);

/// The header in clear, and the recipient, who is never sent: all that the seal covers beside the plaintext.
pub(super) fn associated_data(header: &[u8], recipient: IdHash) -> Aad<[u8; HEADER_LEN + 8]> {
    let mut bytes = [0; HEADER_LEN + 8];
    bytes[..HEADER_LEN].copy_from_slice(header);
    bytes[HEADER_LEN..].copy_from_slice(&recipient.0.to_be_bytes());
    Aad::from(bytes)
}

pub(super) fn aead_nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Seals what this node sends.
#[derive(Debug)]
pub(super) struct Sealer {
    cluster: String,
    keyring: Keyring,
    key: LessSafeKey,
    counter: u64,
    /// The header, then the last ciphertext; kept so that sending allocates nothing.
    buffer: Vec<u8>,
}

/// Why something cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    #[error("{0} bytes are too many for a datagram")]
    TooLong(usize),
    #[error("the cipher failed")]
    Cipher,
}

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self::Cipher
    }
}

impl Sealer {
    pub(super) fn new(cluster: &str, keyring: &Keyring) -> Result<Self, SealError> {
        let (header, key) = fresh_header(cluster, keyring)?;
        let mut buffer = Vec::with_capacity(MAX_DATAGRAM_LEN);
        buffer.extend_from_slice(&header);
        Ok(Self { cluster: cluster.to_owned(), keyring: keyring.clone(), key, counter: 0, buffer })
    }

    /// Takes a new seal nonce: after a suspend a copy of this machine may go on from the same state.
    pub(super) fn renew(&mut self) -> Result<(), SealError> {
        let (header, key) = fresh_header(&self.cluster, &self.keyring)?;
        self.buffer[..HEADER_LEN].copy_from_slice(&header);
        self.key = key;
        self.counter = 0;
        Ok(())
    }

    /// Seals with the first key of `keyring` from now on; with the old one if that fails.
    pub(super) fn rotate(&mut self, keyring: &Keyring) -> Result<(), SealError> {
        let old = std::mem::replace(&mut self.keyring, keyring.clone());
        self.renew().inspect_err(|_| self.keyring = old)
    }

    /// Seals `plaintext` for `recipient`; `None` is whoever receives it, which only a Join may say.
    pub(super) fn seal(&mut self, recipient: Option<IdHash>, plaintext: &[u8]) -> Result<&[u8], SealError> {
        if plaintext.len() > MAX_PACKET_LEN {
            return Err(SealError::TooLong(plaintext.len()));
        }
        if self.counter >= MAX_COUNTER {
            self.renew()?;
        }
        self.buffer.truncate(HEADER_LEN);
        self.buffer[HEADER_LEN - 8..].copy_from_slice(&self.counter.to_be_bytes());
        let aad = associated_data(&self.buffer, recipient.unwrap_or(NOBODY));
        self.buffer.extend_from_slice(plaintext);
        let nonce = aead_nonce(self.counter);
        // Counted before sealing: no failure may lead to the same nonce twice.
        self.counter += 1;
        let ciphertext = &mut self.buffer[HEADER_LEN..];
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, ciphertext)?;
        self.buffer.extend_from_slice(tag.as_ref());
        Ok(&self.buffer)
    }
}

fn fresh_header(cluster: &str, keyring: &Keyring) -> Result<([u8; HEADER_LEN], LessSafeKey), SealError> {
    let seal_nonce: [u8; 16] = entropy::random();
    let sealing = keyring.sealing();
    let mut header = [0; HEADER_LEN];
    header[0] = WIRE_VERSION;
    header[1..5].copy_from_slice(&sealing.id().0.to_be_bytes());
    header[5..21].copy_from_slice(&seal_nonce);
    Ok((header, sealing.datagram_key(cluster, &seal_nonce)?))
}
