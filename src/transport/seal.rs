//! The seal of datagrams: what is sent is sealed for one recipient, what arrives is opened once.

use std::collections::HashMap;
use std::mem;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use aws_lc_rs::error::Unspecified;

use super::keyring::{KeyId, Keyring};
use super::replay::ReplayWindow;
use crate::id::IdHash;
use crate::node::entropy;
use crate::wire::{Body, MAX_DATAGRAM_LEN, MAX_PACKET_LEN, Packet, SEAL_OVERHEAD, WIRE_VERSION};

/// Version, key id, seal nonce and counter.
const HEADER_LEN: usize = 1 + 4 + 16 + 8;

const TAG_LEN: usize = 16;

const _: () = assert!(HEADER_LEN + TAG_LEN == SEAL_OVERHEAD);

/// A seal nonce is replaced after so many datagrams.
const MAX_COUNTER: u64 = 1 << 32;

/// Seal nonces in one generation of [`Openings`]; two generations are kept. Enough for 10,000 members that restart.
const GENERATION: usize = 8192;

/// Stands for the recipient of a Join, who is not known.
const NOBODY: IdHash = IdHash(0);

/// The header in clear, and the recipient, who is never sent: all that the seal covers beside the plaintext.
fn associated_data(header: &[u8], recipient: IdHash) -> Aad<[u8; HEADER_LEN + 8]> {
    let mut bytes = [0; HEADER_LEN + 8];
    bytes[..HEADER_LEN].copy_from_slice(header);
    bytes[HEADER_LEN..].copy_from_slice(&recipient.0.to_be_bytes());
    Aad::from(bytes)
}

fn aead_nonce(counter: u64) -> Nonce {
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

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    #[error("shorter than a seal or longer than a datagram")]
    Length,
    #[error("another version")]
    Version,
    #[error("a key that is not in the keyring")]
    Key,
    #[error("a broken seal, or a seal for somebody else")]
    Seal,
    #[error("a replay")]
    Replay,
    #[error("addressed to nobody, but not a join")]
    NotJoin,
}

impl OpenError {
    /// The name in metrics.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Length => "datagram_length",
            Self::Version => "datagram_version",
            Self::Key => "datagram_key",
            Self::Seal => "datagram_seal",
            Self::Replay => "datagram_replay",
            Self::NotJoin => "datagram_not_join",
        }
    }

    pub(super) const ALL: [Self; 6] =
        [Self::Length, Self::Version, Self::Key, Self::Seal, Self::Replay, Self::NotJoin];
}

/// Opens what this node receives.
#[derive(Debug)]
pub(super) struct Opener {
    local: IdHash,
    cluster: String,
    keyring: Keyring,
    openings: Openings,
    plaintext: Vec<u8>,
}

impl Opener {
    pub(super) fn new(local: IdHash, cluster: &str, keyring: &Keyring) -> Self {
        Self {
            local,
            cluster: cluster.to_owned(),
            keyring: keyring.clone(),
            openings: Openings::default(),
            plaintext: Vec::with_capacity(MAX_DATAGRAM_LEN),
        }
    }

    /// The plaintext of `datagram`, if it is for this node or a Join, and was not opened before.
    pub(super) fn open(&mut self, datagram: &[u8]) -> Result<&[u8], OpenError> {
        if !(SEAL_OVERHEAD..=MAX_DATAGRAM_LEN).contains(&datagram.len()) {
            return Err(OpenError::Length);
        }
        let (header, sealed) = datagram.split_at(HEADER_LEN);
        if header[0] != WIRE_VERSION {
            return Err(OpenError::Version);
        }
        let origin =
            Origin { key_id: KeyId(u32::from_be_bytes(array(&header[1..5]))), nonce: array(&header[5..21]) };
        let counter = u64::from_be_bytes(array(&header[21..]));
        let key = self.keyring.key(origin.key_id).ok_or(OpenError::Key)?;

        if let Some(opening) = self.openings.find(&origin) {
            unseal(&opening.key, self.local, header, sealed, counter, &mut self.plaintext)?;
            return if opening.window.accept(counter) { Ok(&self.plaintext) } else { Err(OpenError::Replay) };
        }
        let key = key.datagram_key(&self.cluster, &origin.nonce).map_err(|_| OpenError::Seal)?;
        unseal(&key, self.local, header, sealed, counter, &mut self.plaintext)?;
        let mut window = ReplayWindow::new();
        let accepted = window.accept(counter);
        debug_assert!(accepted, "a fresh window accepts every counter");
        self.openings.insert(origin, Opening { key, window });
        Ok(&self.plaintext)
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

fn unseal(
    key: &LessSafeKey,
    local: IdHash,
    header: &[u8],
    sealed: &[u8],
    counter: u64,
    plaintext: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG_LEN);
    plaintext.clear();
    plaintext.resize(ciphertext.len(), 0);
    let mut open = |recipient| {
        let aad = associated_data(header, recipient);
        key.open_separate_gather(aead_nonce(counter), aad, ciphertext, tag, plaintext).is_ok()
    };
    if open(local) {
        return Ok(());
    }
    if !open(NOBODY) {
        return Err(OpenError::Seal);
    }
    match Packet::decode(plaintext) {
        Ok(Packet { body: Some(Body::Join(_)), .. }) => Ok(()),
        Ok(_) | Err(_) => Err(OpenError::NotJoin),
    }
}

/// Where a datagram comes from, as far as the seal is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin {
    key_id: KeyId,
    nonce: [u8; 16],
}

/// The derived key of a seal nonce under which something was opened, and what was.
#[derive(Debug)]
struct Opening {
    key: LessSafeKey,
    window: ReplayWindow,
}

/// A bounded memory of openings: two generations, so that keeping the recent ones costs no bookkeeping per datagram.
#[derive(Debug, Default)]
struct Openings {
    young: HashMap<Origin, Opening>,
    old: HashMap<Origin, Opening>,
}

impl Openings {
    fn find(&mut self, origin: &Origin) -> Option<&mut Opening> {
        if let Some(opening) = self.old.remove(origin) {
            self.insert(*origin, opening);
        }
        self.young.get_mut(origin)
    }

    fn insert(&mut self, origin: Origin, opening: Opening) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(origin, opening);
    }
}
