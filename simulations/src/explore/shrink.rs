//! Makes a schedule that fails as small as it can be: fewer steps, fewer nodes, a calmer network, less time.

use meshnode::time::Duration;

use crate::checkers::{Kind, Violation};
use crate::latency::Latency;
use crate::scenario::{Action, Scenario, Step, Usual, Who};

/// Plays that a shrink may take.
const MAX_PLAYS: u32 = 300;

/// Shrinks a schedule that fails in this way, by playing it again and again.
pub fn shrink(
    scenario: Scenario,
    violation: Violation,
    play: impl Fn(&Scenario) -> Option<Violation>,
) -> Shrunk {
    let mut shrinking = Shrinking { best: Shrunk { scenario, violation, plays: 0 }, play };
    loop {
        let before = shrinking.best.scenario.clone();
        shrinking.end_sooner();
        shrinking.drop_steps();
        shrinking.drop_nodes();
        shrinking.calm_the_network();
        if shrinking.best.scenario == before || shrinking.best.plays >= MAX_PLAYS {
            return shrinking.best;
        }
    }
}

/// What is left of a schedule.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The smallest one that still fails.
    pub scenario: Scenario,
    /// How it fails.
    pub violation: Violation,
    /// How often something was played to find it.
    pub plays: u32,
}

struct Shrinking<P> {
    best: Shrunk,
    play: P,
}

impl<P: Fn(&Scenario) -> Option<Violation>> Shrinking<P> {
    /// Takes a smaller schedule if it fails in the same way.
    fn try_on(&mut self, candidate: Scenario) -> bool {
        if self.best.plays >= MAX_PLAYS || candidate == self.best.scenario {
            return false;
        }
        self.best.plays += 1;
        let kind: Kind = self.best.violation.kind;
        let Some(violation) = (self.play)(&candidate).filter(|violation| violation.kind == kind) else {
            return false;
        };
        self.best.scenario = candidate;
        self.best.violation = violation;
        true
    }

    /// Nothing after the failure matters, when it came in the safety phase.
    fn end_sooner(&mut self) {
        let scenario = &self.best.scenario;
        let at = Duration::from_nanos(self.best.violation.at.as_nanos());
        let last = scenario.steps.iter().map(|step| step.at).max().unwrap_or_default();
        for end in [at, last] {
            let end = Duration::from_secs(end.as_secs() + 1);
            if self.best.scenario.usual.duration.is_some_and(|duration| end < duration) {
                let mut candidate = self.best.scenario.clone();
                candidate.usual.duration = Some(end);
                candidate.steps.retain(|step| step.at < end || is_anchor(step));
                for step in candidate.steps.iter_mut().filter(|step| is_anchor(step)) {
                    step.at = step.at.min(end.saturating_sub(Duration::from_millis(1)));
                }
                self.try_on(candidate);
            }
        }
    }

    /// Leaves out ever smaller runs of steps.
    fn drop_steps(&mut self) {
        let mut size = self.best.scenario.steps.len();
        while size > 0 {
            let mut from = 0;
            while from < self.best.scenario.steps.len() {
                let mut candidate = self.best.scenario.clone();
                let mut index = 0;
                candidate.steps.retain(|step| {
                    index += 1;
                    !(from..from + size).contains(&(index - 1)) || is_anchor(step)
                });
                if !self.try_on(candidate) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Leaves out the last nodes, and one by one those of each step.
    fn drop_nodes(&mut self) {
        while let Some(nodes) = self.best.scenario.usual.nodes.filter(|&nodes| nodes > 1) {
            let fewer = |nodes: usize| {
                let mut candidate = self.best.scenario.clone();
                candidate.usual.nodes = Some(nodes);
                candidate.steps.iter_mut().for_each(|step| forget_beyond(&mut step.action, nodes));
                candidate
            };
            let candidates = [nodes / 2, nodes - 1].map(fewer);
            if !candidates.into_iter().any(|candidate| self.try_on(candidate)) {
                break;
            }
        }
        for step in 0..self.best.scenario.steps.len() {
            let mut index = 0;
            while let Some(named) = named_in(&mut self.best.scenario.clone().steps[step].action)
                && named.len() > 1
                && index < named.len()
            {
                let mut candidate = self.best.scenario.clone();
                if let Some(named) = named_in(&mut candidate.steps[step].action) {
                    named.remove(index);
                }
                if !self.try_on(candidate) {
                    index += 1;
                }
            }
        }
    }

    fn calm_the_network(&mut self) {
        let calm: [fn(&mut Usual); 4] = [
            |usual| usual.loss = Some(0.0),
            |usual| usual.duplicate = Some(0.0),
            |usual| usual.reorder = Some(0.0),
            |usual| usual.latency = Some(Latency::Constant(Duration::from_millis(1))),
        ];
        for change in calm {
            let mut candidate = self.best.scenario.clone();
            change(&mut candidate.usual);
            self.try_on(candidate);
        }
    }
}

/// The step that switches the first seed on stays: without it a newcomer would rightly stay alone.
fn is_anchor(step: &Step) -> bool {
    step.action == Action::Start(Who::These(vec![0]))
}

/// The nodes that an action names.
fn named_in(action: &mut Action) -> Option<&mut Vec<usize>> {
    match action {
        Action::Start(who)
        | Action::Crash(who)
        | Action::LoseHost(who)
        | Action::Restart(who, _)
        | Action::Leave(who)
        | Action::Pause(who, _)
        | Action::Suspend(who, _)
        | Action::Starve { who, .. }
        | Action::Slow(who, _)
        | Action::Skew(who, _)
        | Action::Clone(who)
        | Action::Release(who, _)
        | Action::Mute(who)
        | Action::Deafen(who)
        | Action::Lose(Some(who), _, _)
        | Action::ResetLinks(who)
        | Action::Service(who, _) => match who {
            Who::These(nodes) => Some(nodes),
            Who::Leader | Who::Some(_) | Who::Percent(_) | Who::Same | Who::Next | Who::All | Who::Off => {
                None
            }
        },
        Action::Join(_)
        | Action::Split(_)
        | Action::Part(_)
        | Action::Heal
        | Action::Cut(_)
        | Action::Lose(None, _, _)
        | Action::Latency(_)
        | Action::Store(_)
        | Action::Surprise => None,
    }
}

fn forget_beyond(action: &mut Action, nodes: usize) {
    if let Some(named) = named_in(action) {
        named.retain(|&node| node < nodes);
    }
    if let Action::Part(groups) = action {
        groups.iter_mut().for_each(|group| group.retain(|&node| node < nodes));
    }
    if let Action::Cut(named) = action {
        named.retain(|&node| node < nodes);
    }
}

#[cfg(test)]
mod tests {
    use meshnode::mesh::Detector;
    use meshnode::time::Instant;

    use super::*;
    use crate::explore::draw::schedule;

    #[test]
    fn what_does_not_matter_is_left_out() {
        // It "fails" whenever the second node crashes, whatever else happens.
        let fails = |scenario: &Scenario| {
            let crashes =
                |action: &Action| matches!(action, Action::Crash(Who::These(who)) if who.contains(&1));
            let at = scenario.steps.iter().find(|step| crashes(&step.action))?.at;
            let at = Instant::ORIGIN + at;
            Some(Violation { kind: Kind::Convergence, at, text: String::new() })
        };
        let drawn = (0..).map(|seed| schedule(seed, (9, 12), Detector::Witness));
        let (scenario, violation) =
            drawn.filter_map(|s| Some((s.clone(), fails(&s)?))).find(|(s, _)| s.steps.len() > 8).unwrap();
        let shrunk = shrink(scenario, violation, fails).scenario;
        let actions: Vec<&Action> = shrunk.steps.iter().map(|step| &step.action).collect();
        let anchor = Action::Start(Who::These(vec![0]));
        assert_eq!(actions, [&Action::Crash(Who::These(vec![1])), &anchor]);
        assert_eq!((shrunk.usual.nodes, shrunk.usual.loss), (Some(2), Some(0.0)));
        let last = shrunk.steps[0].at;
        assert!(shrunk.usual.duration.unwrap() <= last + Duration::from_secs(1));
    }
}
