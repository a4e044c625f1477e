//! What a node does when it hears something about itself that is not so: it says so, at once or when it is no longer damped.

use super::{Claim, Fact, FactKind, MAX_INCARNATION_JUMP, Membership, Output};
use crate::id::{IdHash, Version};
use crate::membership::damping::Flapping;
use crate::time::Instant;
use crate::view::Status;

impl Membership {
    /// How often this node died lately, and whether it stays away for that.
    pub const fn flapping(&self) -> Flapping {
        self.damping.shown()
    }

    /// The version at which this node lets others hold it dead, while it is damped.
    pub fn held_dead_at(&self) -> Option<Version> {
        self.damping.held_back().filter(|version| *version >= self.version)
    }

    /// `teller` holds something about this node that is not so.
    pub(super) fn answer_claim(&mut self, claim: Claim, teller: IdHash, now: Instant) {
        let before = self.flapping();
        let waits = if claim.status == Status::Dead {
            !self.damping.handle_death(claim.version, now)
        } else {
            self.damping.hold_back(claim.version)
        };
        self.tell_flapping(before);
        if waits {
            return;
        }
        if claim.status == Status::Suspect {
            self.awareness.handle_refutation();
        }
        let text = format!("refuted that it is {}, as it was told", claim.status.as_str());
        self.evidence(self.id, text, Some(teller));
        self.refute(claim.version, now);
        self.send_to_member(teller, None);
    }

    /// Another member died, or came back from the dead, before which `live` members lived.
    pub(super) fn note_churn(&mut self, member: IdHash, live: usize, now: Instant) {
        let before = self.flapping();
        self.damping.handle_churn(member, live.saturating_sub(1), now);
        self.tell_flapping(before);
    }

    /// Comes back when the penalty has decayed.
    pub(super) fn expire_damping(&mut self, now: Instant) {
        let before = self.flapping();
        let due = self.damping.handle_timeout(self.awareness.score() + 1, now);
        self.tell_flapping(before);
        if let Some(version) = due {
            self.evidence(self.id, "comes back, as its penalty has decayed".to_owned(), None);
            self.refute(version, now);
        }
    }

    fn refute(&mut self, claimed: Version, now: Instant) {
        if claimed >= self.version {
            self.version.incarnation = claimed.incarnation + 1;
        }
        if self.version.incarnation >= MAX_INCARNATION_JUMP {
            // A newcomer, who has to start at 0, would refuse what comes next as a jump: a new epoch starts there too.
            self.outputs.push_back(Output::EpochBehind { epoch: self.version.epoch, is_alive: false });
        }
        self.disseminate(Fact::about(self.hash, self.version, FactKind::Alive), now);
        self.outputs.push_back(Output::Changed(self.hash));
    }

    fn tell_flapping(&mut self, before: Flapping) {
        let flapping = self.flapping();
        if flapping == before {
            return;
        }
        if flapping.is_damped && !before.is_damped {
            let penalty = f64::from(flapping.penalty) / 10.0;
            let text =
                format!("is damped: it died too often (penalty {penalty:.1}), and stays away for a while");
            self.evidence(self.id, text, None);
            self.outputs.push_back(Output::Changed(self.hash));
        }
        if flapping.is_damped != before.is_damped {
            self.outputs.push_back(Output::Damped(flapping.is_damped));
        }
        self.outputs.push_back(Output::Flapping);
    }
}
