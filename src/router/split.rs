//! Routes of a service as a whole: which of several holds, and how a canary split divides the instances.

use std::sync::Arc;

use super::selector::{InstanceVersion, Selector};
use crate::id::{NodeId, ServiceName};
use crate::manifest::Route;

/// The most entries of a split that count; manifests have no more.
const MAX_ENTRIES: usize = 32;

/// The route that holds for a service.
#[derive(Debug, Clone)]
pub(super) struct RouteChoice {
    pub(super) route: Arc<Route>,
    /// Another member has a different route of the same revision.
    pub(super) conflict: bool,
    pub(super) split: CanarySplit,
}

impl RouteChoice {
    /// The highest (rev, owner) of the routes that are configured for `service`.
    pub(super) fn among<'a>(
        service: &ServiceName,
        mut routes: impl Iterator<Item = (NodeId, &'a Route)> + Clone,
    ) -> Self {
        let best = routes.clone().max_by_key(|(owner, route)| (route.rev, *owner)).map(|(_, route)| route);
        let Some(best) = best else {
            let route = Arc::new(Route::default_of(service.clone()));
            return Self { split: CanarySplit::new(&route), route, conflict: false };
        };
        let conflict = routes.any(|(_, route)| route.rev == best.rev && route != best);
        Self { route: Arc::new(best.clone()), conflict, split: CanarySplit::new(best) }
    }
}

/// A set of a split's groups.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Groups(u64);

impl Groups {
    pub(super) const fn insert(&mut self, group: usize) {
        self.0 |= 1 << group;
    }

    const fn contains(self, group: usize) -> bool {
        self.0 & (1 << group) != 0
    }
}

/// A canary split, parsed once.
#[derive(Debug, Clone)]
pub(super) struct CanarySplit {
    entries: Vec<(Selector, f64)>,
    rest: f64,
}

impl CanarySplit {
    fn new(route: &Route) -> Self {
        let mut entries = Vec::with_capacity(route.split.len());
        let mut rest = 100.0;
        for entry in route.split.iter().take(MAX_ENTRIES) {
            match entry.version.parse() {
                Ok(selector) => {
                    entries.push((selector, f64::from(entry.percent)));
                    rest -= f64::from(entry.percent);
                }
                Err(error) => {
                    tracing::warn!(service = %route.service, rev = route.rev, %error, "split entry ignored");
                }
            }
        }
        Self { entries, rest: f64::max(rest, 0.0) }
    }

    /// Nothing is divided.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The group of an instance: the first entry that its version matches, else the rest (the last group).
    pub(super) fn group(&self, version: &InstanceVersion) -> usize {
        let entry = self.entries.iter().position(|(selector, _)| selector.matches(version));
        entry.unwrap_or(self.entries.len())
    }

    /// Whether instances of this group get any of the requests that name no version.
    pub(super) fn has_share(&self, group: usize) -> bool {
        self.share(group) > 0.0
    }

    /// The share of a group, in percent.
    fn share(&self, group: usize) -> f64 {
        self.entries.get(group).map_or(self.rest, |(_, percent)| *percent)
    }

    /// Draws one of the groups that are `present` by their shares; `unit` is uniform in [0, 1). The shares of the
    /// absent ones go to the others. `None` when no group with a share is present.
    pub(super) fn draw(&self, present: Groups, unit: f64) -> Option<usize> {
        let with_share = || (0..=self.entries.len()).filter(|g| present.contains(*g) && self.share(*g) > 0.0);
        let total: f64 = with_share().map(|group| self.share(group)).sum();
        let mut left = unit * total;
        for group in with_share() {
            left -= self.share(group);
            if left < 0.0 {
                return Some(group);
            }
        }
        with_share().next_back()
    }
}
