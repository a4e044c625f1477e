//! Steps as they stand in a file.

use super::Step;
use super::action::{Action, Way, Who};
use super::raw::{Direction, Disk, Raw, Verb};
use super::values::{Delay, Seconds, Selection, Share, Span};
use crate::cluster::Restart;

impl From<&Step> for Raw {
    fn from(step: &Step) -> Self {
        let repeats = step.times > 1;
        Self {
            at: Some(Span(step.at)),
            times: repeats.then_some(step.times),
            every: repeats.then_some(Span(step.every)),
            ..Self::from(&step.action)
        }
    }
}

impl From<&Action> for Raw {
    fn from(action: &Action) -> Self {
        let plain = |verb: Verb| Self { verb, ..Self::default() };
        let to = |verb: Verb, who: &Who| Self { verb, who: Some(Selection(who.clone())), ..Self::default() };
        match action {
            Action::Join(count) => Self { count: Some(*count), ..plain(Verb::Join) },
            Action::Start(who) => to(Verb::Start, who),
            Action::Crash(who) => to(Verb::Crash, who),
            Action::LoseHost(who) => to(Verb::HostLoss, who),
            Action::Restart(who, how) => {
                let disk = match how {
                    Restart::DiskKept => Disk::Kept,
                    Restart::DiskLost => Disk::Lost,
                };
                Self { disk: Some(disk), ..to(Verb::Restart, who) }
            }
            Action::Leave(who) => to(Verb::Leave, who),
            Action::Pause(who, span) => Self { span: Some(Span(*span)), ..to(Verb::Pause, who) },
            Action::Suspend(who, span) => Self { span: Some(Span(*span)), ..to(Verb::Suspend, who) },
            Action::Starve { who, frozen, period, span } => Self {
                frozen: Some(Span(*frozen)),
                period: Some(Span(*period)),
                span: Some(Span(*span)),
                ..to(Verb::Starve, who)
            },
            Action::Slow(who, each) => Self { each: Some(Span(*each)), ..to(Verb::Slow, who) },
            Action::Skew(who, by) => Self { by: Some(Seconds(*by)), ..to(Verb::Skew, who) },
            Action::Clone(who) => to(Verb::Clone, who),
            Action::Release(who, release) => Self { release: Some(*release), ..to(Verb::Release, who) },
            Action::Split(parts) => Self { parts: Some(*parts), ..plain(Verb::Split) },
            Action::Part(groups) => Self { groups: Some(groups.clone()), ..plain(Verb::Split) },
            Action::Heal => plain(Verb::Heal),
            Action::Mute(who) => to(Verb::Mute, who),
            Action::Deafen(who) => to(Verb::Deafen, who),
            Action::Cut(nodes) => Self { nodes: Some(nodes.clone()), ..plain(Verb::Cut) },
            Action::Lose(who, way, share) => {
                let way = who.is_some().then_some(match way {
                    Way::In => Direction::In,
                    Way::Out => Direction::Out,
                    Way::Both => Direction::Both,
                });
                let share = Some(Share(*share));
                Self { who: who.clone().map(Selection), way, share, ..plain(Verb::Lose) }
            }
            Action::Latency(latency) => Self { latency: Some(Delay(*latency)), ..plain(Verb::Latency) },
            Action::ResetLinks(who) => to(Verb::ResetLinks, who),
            Action::Service(who, works) => Self { works: Some(*works), ..to(Verb::Service, who) },
            Action::Store(works) => Self { works: Some(*works), ..plain(Verb::Store) },
            Action::Surprise => plain(Verb::Surprise),
        }
    }
}
