//! The opening of datagrams: each is opened once, by the one for whom it was sealed.

use std::collections::HashMap;
use std::mem;

use aws_lc_rs::aead::LessSafeKey;

use super::keyring::KeyId;
use super::keys::Keys;
use super::replay::ReplayWindow;
use super::seal::{HEADER_LEN, NOBODY, TAG_LEN, aead_nonce, associated_data};
use crate::id::IdHash;
use crate::wire::{Body, MAX_DATAGRAM_LEN, Packet, SEAL_OVERHEAD, WIRE_VERSION};

/// Seal nonces in one generation of [`Openings`]; two generations are kept. Enough for 10,000 members that restart.
pub(super) const GENERATION: usize = 8192;

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
    keys: Keys,
    openings: Openings,
    plaintext: Vec<u8>,
}

impl Opener {
    pub(super) fn new(local: IdHash, cluster: &str, keys: Keys) -> Self {
        Self {
            local,
            cluster: cluster.to_owned(),
            keys,
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
        let key = self.keys.key(origin.key_id).ok_or(OpenError::Key)?;

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

#[cfg(test)]
impl Opener {
    pub(super) fn remembered(&self) -> usize {
        self.openings.young.len() + self.openings.old.len()
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
