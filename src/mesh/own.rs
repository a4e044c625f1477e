//! This node's own manifest: put together from all machines, signed when it changed, renewed before it ages.

use super::{Event, Mesh};
use crate::id::ManifestVersion;
use crate::manifest::{Health, Manifest, Service, Standing};
use crate::membership::Claim;
use crate::probe::Target;
use crate::time::{Duration, Instant, earliest};
use crate::view::Status;
use crate::wire::manifest::SignedManifest;
use crate::wire::{Fact, FactKind, WireError};

/// How long others may use a manifest.
const TTL: Duration = Duration::from_secs(2 * 3600);

/// How often it is signed anew although nothing changed.
const RENEWAL: Duration = Duration::from_secs(30 * 60);

/// Changes that come faster are published together.
const COALESCE: Duration = Duration::from_millis(100);

/// What is published, and what is about to be.
#[derive(Debug)]
pub(super) struct OwnManifest {
    published: Option<Manifest>,
    version: ManifestVersion,
    /// The earliest moment for the next publication.
    not_before: Instant,
    renew_at: Instant,
    is_touched: bool,
    /// The complaint about an oversized manifest was made.
    complained: bool,
}

impl OwnManifest {
    pub(super) const fn new(epoch: u64, now: Instant) -> Self {
        Self {
            published: None,
            version: ManifestVersion { epoch, seq: 0 },
            not_before: now,
            renew_at: now,
            is_touched: true,
            complained: false,
        }
    }

    /// Something that the manifest says may have changed.
    pub(super) const fn touch(&mut self) {
        self.is_touched = true;
    }

    /// What changed is not to wait.
    pub(super) const fn hurry(&mut self, now: Instant) {
        self.is_touched = true;
        self.not_before = now;
    }

    /// Publishes anew, although nothing changed.
    pub(super) const fn renew(&mut self, now: Instant) {
        self.renew_at = now;
    }

    pub(super) fn raise_epoch(&mut self, epoch: u64) {
        self.version = ManifestVersion { epoch, seq: 0 };
        self.published = None;
        self.touch();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.is_touched.then_some(self.not_before), Some(self.renew_at))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_touched && self.not_before <= now || self.renew_at <= now
    }
}

/// Whether a manifest of `mesh` with these services could be published.
pub(super) fn check_services(mesh: &Mesh, targets: &[Target]) -> Result<(), WireError> {
    let mut manifest = mesh.current_manifest();
    manifest.services = targets.iter().map(placeholder).collect();
    SignedManifest::sign(manifest, &mesh.identity).map(drop)
}

/// A service as large as a manifest may have to say it.
fn placeholder(target: &Target) -> Service {
    Service {
        name: target.name.clone(),
        port: target.port,
        version: target.version.clone(),
        health: Health::Healthy,
        weight: target.weight,
        tags: target.tags.clone(),
        protocol: target.protocol,
        timeouts: target.timeouts,
        max_in_flight: target.max_in_flight,
        host: target.host,
    }
}

impl Mesh {
    /// Signs and spreads the manifest if it says something new, or must be renewed.
    pub(super) fn publish(&mut self, now: Instant) -> Result<(), WireError> {
        self.own.is_touched = false;
        self.own.not_before = now + COALESCE;
        self.spread(self.current_manifest(), now)?;
        self.own.complained = false;
        Ok(())
    }

    fn spread(&mut self, mut manifest: Manifest, now: Instant) -> Result<(), WireError> {
        let is_renewal = self.own.renew_at <= now;
        let unchanged = self.own.published.as_ref().is_some_and(|published| {
            manifest.version = published.version;
            *published == manifest
        });
        if unchanged && !is_renewal {
            return Ok(());
        }
        manifest.version = ManifestVersion { seq: self.own.version.seq + 1, ..self.own.version };
        let signed = SignedManifest::sign(manifest.clone(), &self.identity)?;
        self.own.renew_at = now + RENEWAL;
        self.own.version = manifest.version;
        self.own.published = Some(manifest);
        let fact = Fact {
            subject: self.hash.0,
            epoch: self.own.version.epoch,
            incarnation: self.own.version.seq,
            kind: FactKind::Manifest.into(),
            by: signed.hash(),
            value: 0,
        };
        self.gossip.verified.remember(&signed);
        self.membership.keep_own(&signed, now);
        self.membership.disseminate(fact, now);
        self.note_change();
        Ok(())
    }

    /// As `publish`, but a manifest that is too large is an event, and what was published before stays in the place of
    /// what does not fit.
    pub(super) fn publish_if_due(&mut self, now: Instant) {
        if !self.own.is_due(now) {
            return;
        }
        let Err(error) = self.publish(now) else { return };
        if !std::mem::replace(&mut self.own.complained, true) {
            self.event(Event::ManifestTooLarge(error.to_string()));
        }
        let fitting = self.own.published.as_ref().map(|published| Manifest {
            services: published.services.clone(),
            routes: published.routes.clone(),
            capabilities: published.capabilities.clone(),
            ..self.current_manifest()
        });
        if fitting.is_none_or(|fitting| self.spread(fitting, now).is_err()) {
            self.own.renew_at = now + RENEWAL;
        }
    }

    /// This node as it would publish itself now; the version is the published one.
    pub(super) fn current_manifest(&self) -> Manifest {
        let services = self.prober.services();
        let config = &self.config;
        let offers = config.leader_eligible.unwrap_or(!services.is_empty());
        let flapping = self.membership.flapping();
        Manifest {
            cluster: config.cluster.clone(),
            id: self.id,
            version: self.own.version,
            ttl: TTL,
            addr: config.addr,
            name: config.name.clone(),
            zone: config.zone.clone(),
            tier: config.tier,
            capabilities: config.capabilities.clone(),
            services,
            routes: config.routes.clone(),
            draining: self.draining,
            public_url: config.public_url.clone(),
            max_writes_per_day: config.store.max_writes_per_day,
            standing: Standing {
                priority: config.leader_priority,
                // Unfit, or after a pause, a node does not know whom it would preempt; a draining one is about to go.
                offers: offers && self.is_fit() && self.refresh.is_none() && !self.draining,
                store_id: config.store.id,
                store_remote: config.store.remote,
                store_ok: self.store_failed_until.is_none(),
                leading_term: self.election.leading_term(),
                penalty: flapping.penalty,
                damped: flapping.is_damped,
            },
            meshnode_version: config.meshnode_version.clone(),
        }
    }

    /// Part of the mesh, and not in doubt about itself.
    pub(super) const fn is_fit(&self) -> bool {
        self.gate.is_passed() && !self.quarantined && !self.membership.is_isolated()
    }

    /// What is held about this node itself.
    pub(super) const fn own_claim(&self) -> Claim {
        Claim { version: self.membership.version(), status: Status::Alive }
    }
}
