//! What is stored of one member: 32 bytes, as all else is in the manifest, which the nodes of one process share.

use super::ticks::Ticks;
use crate::id::IdHash;
use crate::view::Status;
use crate::wire::manifest::SignedManifest;

/// The place of one member in the table.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) hash: IdHash,
    pub(super) manifest: Option<SignedManifest>,
    pub(super) incarnation: u32,
    /// When the manifest was accepted anywhere first.
    pub(super) accepted: Ticks,
    /// Since when the status is held.
    pub(super) since: Ticks,
    pub(super) bucket: u8,
    pub(super) status: Status,
    /// It has an entry among the exceptions, as the manifest does not say enough.
    pub(super) is_exception: bool,
    /// An old tombstone: known here, and told to those who still compare it, but in no sum.
    pub(super) is_faded: bool,
}
