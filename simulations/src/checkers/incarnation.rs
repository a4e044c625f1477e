//! Versions are monotone per observer, and nobody but the owner raises them.

use std::collections::BTreeMap;

use meshnode::id::{ManifestVersion, NodeId, Version};
use meshnode::view::View;

use super::{Kind, Observation, Violation};

/// The versions that were seen so far.
#[derive(Debug, Default)]
pub struct Incarnations {
    seen: Vec<BTreeMap<NodeId, (Version, ManifestVersion)>>,
    claimed: BTreeMap<NodeId, Version>,
}

impl Incarnations {
    /// The observer has a new process and may begin anew.
    pub fn forget(&mut self, observer: usize) {
        if self.seen.len() <= observer {
            self.seen.resize(observer + 1, BTreeMap::new());
        }
        self.seen[observer].clear();
    }

    /// What a node says of itself in its own view.
    pub fn take_claim(&mut self, view: &View) {
        if let Some(own) = view.member(&view.local) {
            let claimed = self.claimed.entry(own.id).or_default();
            *claimed = own.version.max(*claimed);
        }
    }

    /// A view changed.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        for member in seen.changed() {
            let name = || seen.model.name(&member.id);
            if member.version > self.claimed.get(&member.id).copied().unwrap_or_default() {
                let text = format!(
                    "n{} holds {} at {:?}, which it never claimed",
                    seen.observer,
                    name(),
                    member.version
                );
                return Err(seen.violation(Kind::Incarnation, text));
            }
            let manifest = member.manifest.as_ref().map(|manifest| manifest.version).unwrap_or_default();
            let (version, manifest_version) = self.seen[seen.observer].entry(member.id).or_default();
            if member.version < *version {
                let text = format!(
                    "n{} held {} at {version:?}, and now at {:?}",
                    seen.observer,
                    name(),
                    member.version
                );
                return Err(seen.violation(Kind::Incarnation, text));
            }
            if member.manifest.is_some() && manifest < *manifest_version {
                let text = format!(
                    "n{} held the manifest {manifest_version:?} of {}, and now {manifest:?}",
                    seen.observer,
                    name()
                );
                return Err(seen.violation(Kind::Incarnation, text));
            }
            *version = member.version;
            *manifest_version = manifest.max(*manifest_version);
        }
        Ok(())
    }
}
