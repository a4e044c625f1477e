//! Nothing is resurrected: who was held dead or left lives again only at a greater version, and who is really
//! gone, and is held gone by all, stays gone for everybody, newcomers included.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshnode::id::{NodeId, Version};
use meshnode::time::{Duration, Instant};
use meshnode::view::View;

use super::{Kind, Observation, Violation};
use crate::model::Model;

/// An answer that was on its way when the last node learned of a death may still bring old news.
const IN_FLIGHT: Duration = Duration::from_secs(10);

/// Who was held gone, by whom and at which version.
#[derive(Debug, Default)]
pub struct Resurrections {
    gone: Vec<BTreeMap<NodeId, Version>>,
    buried: BTreeMap<usize, (Instant, Version)>,
}

impl Resurrections {
    /// The node has a new process, or none: it may begin anew, and live.
    pub fn forget(&mut self, node: usize) {
        if self.gone.len() <= node {
            self.gone.resize(node + 1, BTreeMap::new());
        }
        self.gone[node].clear();
        self.buried.remove(&node);
    }

    /// A view changed.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        for member in seen.changed() {
            let gone = self.gone[seen.observer].get(&member.id).copied();
            if !member.status.is_live() {
                let version = gone.map_or(member.version, |version| version.max(member.version));
                self.gone[seen.observer].insert(member.id, version);
                continue;
            }
            let name = || seen.model.name(&member.id);
            if let Some(version) = gone.filter(|version| member.version <= *version) {
                let text = format!(
                    "n{} held {} gone at {version:?}, and now {} at {:?}",
                    seen.observer,
                    name(),
                    member.status.as_str(),
                    member.version
                );
                return Err(seen.violation(Kind::Resurrection, text));
            }
            let buried = seen.model.index_of(&member.id).and_then(|subject| self.buried.get(&subject));
            // What a stopped process finds in its socket is news from before it stopped, or of a refutation before the end.
            let observer = &seen.model.nodes()[seen.observer];
            let is_late = !observer.marks.is_empty() || seen.at.since(observer.well_since) <= IN_FLIGHT;
            let is_old_news =
                |at: Instant, version| !is_late && seen.at.since(at) > IN_FLIGHT && member.version <= version;
            if let Some((since, _)) = buried.filter(|(at, version)| is_old_news(*at, *version)) {
                let text = format!(
                    "n{} holds {} {} at {:?}, but it is gone, and all have known that since {since:?}",
                    seen.observer,
                    name(),
                    member.status.as_str(),
                    member.version
                );
                return Err(seen.violation(Kind::Resurrection, text));
            }
        }
        Ok(())
    }

    /// Notes who is gone in truth and in all views.
    pub fn tick(&mut self, at: Instant, model: &Model, views: &[Option<Arc<View>>]) {
        for (subject, truth) in model.nodes().iter().enumerate() {
            if truth.state.is_running() || self.buried.contains_key(&subject) {
                continue;
            }
            let held: Vec<_> = views.iter().flatten().filter_map(|view| view.member(&truth.id)).collect();
            if let Some(version) = held.iter().map(|member| member.version).max()
                && held.iter().all(|member| !member.status.is_live())
            {
                self.buried.insert(subject, (at, version));
            }
        }
    }
}
