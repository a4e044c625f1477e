//! The checkers: each compares what the nodes do and hold with the truth, and names the first violation.

pub mod bounds;
pub mod budget;
pub mod convergence;
pub mod false_death;
pub mod incarnation;
pub mod leadership;
pub mod preemption;
pub mod resurrection;

use std::fmt;
use std::sync::Arc;

use meshnode::mesh::Detector;
use meshnode::time::{Duration, Instant};
use meshnode::view::{MemberView, View};

use crate::model::Model;

/// What was violated; each kind has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The views did not come to tell the truth.
    Convergence,
    /// Two leaders in one part of the network, or none.
    Leadership,
    /// Somebody dead or left came to live without a boot or a refutation.
    Resurrection,
    /// A version went backwards, or was raised by somebody other than its owner.
    Incarnation,
    /// Something grew beyond its bound.
    Bounds,
    /// A node that was up, connected and well was held dead.
    FalseDeath,
    /// A leader was pushed aside, or stepped down for no reason.
    Preemption,
    /// The store was written more often than its budget allows.
    Budget,
}

impl Kind {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Convergence => "convergence",
            Self::Leadership => "leadership",
            Self::Resurrection => "resurrection",
            Self::Incarnation => "incarnation",
            Self::Bounds => "bounds",
            Self::FalseDeath => "false-death",
            Self::Preemption => "preemption",
            Self::Budget => "budget",
        }
    }

    /// The exit code of `meshsim run`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Convergence => 10,
            Self::Leadership => 11,
            Self::Resurrection => 12,
            Self::Incarnation => 13,
            Self::Bounds => 14,
            Self::FalseDeath => 15,
            Self::Preemption => 16,
            Self::Budget => 17,
        }
    }
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// Which rule.
    pub kind: Kind,
    /// When that was seen.
    pub at: Instant,
    /// Who did what.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}: {}", self.kind, self.at, self.text)
    }
}

/// A node's view changed.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// When.
    pub at: Instant,
    /// Whose view.
    pub observer: usize,
    /// Its view before, of the same boot.
    pub before: Option<&'a View>,
    /// Its view now.
    pub view: &'a View,
    /// The truth.
    pub model: &'a Model,
}

impl Observation<'_> {
    /// The members whose status, version or manifest is not what it was.
    pub fn changed(&self) -> impl Iterator<Item = &Arc<MemberView>> {
        let mut before = self.before.map_or(&[][..], |view| &view.members).iter().peekable();
        self.view.members.iter().filter(move |member| {
            while before.next_if(|old| old.id < member.id).is_some() {}
            !before.next_if(|old| old.id == member.id).is_some_and(|old| is_same(old, member))
        })
    }

    fn violation(&self, kind: Kind, text: String) -> Violation {
        Violation { kind, at: self.at, text }
    }
}

fn is_same(old: &MemberView, new: &MemberView) -> bool {
    let seq = |member: &MemberView| member.manifest.as_ref().map(|manifest| manifest.version);
    (old.status, old.version) == (new.status, new.version) && seq(old) == seq(new)
}

/// All checkers of one run, and the latest view of each node.
#[derive(Debug)]
pub struct Checkers {
    /// Counts what nodes send, ask and wake.
    pub bounds: bounds::Bounds,
    /// Counts what is written to the store.
    pub budget: budget::Budget,
    /// Counts who is held dead and lives.
    pub false_deaths: false_death::FalseDeaths,
    incarnations: incarnation::Incarnations,
    leadership: leadership::Leadership,
    preemptions: preemption::Preemptions,
    resurrections: resurrection::Resurrections,
    views: Vec<Option<Arc<View>>>,
}

impl Checkers {
    /// The checkers of a mesh with this `--election-hold` and failure detector, whose store may have a budget.
    ///
    /// Only of witnesses it is demanded that they kill nobody who lives; of the stages before them it is counted.
    pub fn new(hold: Duration, mode: Detector, has_budget: bool) -> Self {
        Self {
            bounds: bounds::Bounds::default(),
            budget: budget::Budget::new(has_budget),
            false_deaths: false_death::FalseDeaths::new(mode == Detector::Witness),
            incarnations: incarnation::Incarnations::default(),
            leadership: leadership::Leadership::new(hold),
            preemptions: preemption::Preemptions::default(),
            resurrections: resurrection::Resurrections::default(),
            views: Vec::new(),
        }
    }

    /// The latest view of each node that runs, by index.
    pub fn views(&self) -> &[Option<Arc<View>>] {
        &self.views
    }

    /// The node has a new process, or none: what it held is gone.
    pub fn forget(&mut self, node: usize) {
        if self.views.len() <= node {
            self.views.resize(node + 1, None);
        }
        self.views[node] = None;
        self.bounds.forget(node);
        self.incarnations.forget(node);
        self.leadership.forget(node);
        self.preemptions.forget(node);
        self.resurrections.forget(node);
    }

    /// These views changed since the last look, all at `at`. What nodes say of themselves is taken first.
    pub fn observe(
        &mut self,
        at: Instant,
        changed: Vec<(usize, Arc<View>)>,
        model: &Model,
    ) -> Result<(), Violation> {
        for (_, view) in &changed {
            self.incarnations.take_claim(view);
        }
        for (observer, view) in changed {
            let before = self.views[observer].replace(Arc::clone(&view));
            let seen = Observation { at, observer, before: before.as_deref(), view: &view, model };
            self.incarnations.observe(&seen)?;
            self.resurrections.observe(&seen)?;
            self.false_deaths.observe(&seen)?;
            self.leadership.observe(&seen);
            self.preemptions.observe(&seen)?;
        }
        Ok(())
    }

    /// A second of virtual time passed.
    pub fn tick(&mut self, at: Instant, model: &Model) -> Result<(), Violation> {
        self.resurrections.tick(at, model, &self.views);
        self.bounds.tick();
        self.budget.tick(at, model.part_count());
        self.leadership.tick(at, model)
    }

    /// What keeps the mesh from being settled: views that differ from the truth, or about the leader.
    pub fn unsettled(&self, model: &Model) -> Option<(Kind, String)> {
        let convergence = convergence::difference(model, &self.views).map(|text| (Kind::Convergence, text));
        convergence
            .or_else(|| leadership::disagreement(model, &self.views).map(|text| (Kind::Leadership, text)))
    }
}
