//! One step of a scenario file: a verb, and the keys that it needs and those that mean nothing to it.

use meshnode::time::Duration;
use serde::{Deserialize, Serialize};

use super::Step;
use super::action::{Action, Way};
use super::values::{Delay, Seconds, Selection, Share, Span};
use crate::cluster::{Release, Restart};

/// The most that a step may be repeated, so that a slip does not fill the memory.
const MAX_TIMES: u32 = 100_000;

/// One step, with the keys of all verbs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    pub(super) at: Option<Span>,
    #[serde(rename = "do")]
    pub(super) verb: Verb,
    pub(super) times: Option<u32>,
    pub(super) every: Option<Span>,
    pub(super) who: Option<Selection>,
    pub(super) count: Option<usize>,
    #[serde(rename = "for")]
    pub(super) span: Option<Span>,
    pub(super) disk: Option<Disk>,
    pub(super) frozen: Option<Span>,
    pub(super) period: Option<Span>,
    pub(super) each: Option<Span>,
    pub(super) by: Option<Seconds>,
    pub(super) release: Option<Release>,
    pub(super) parts: Option<usize>,
    pub(super) groups: Option<Vec<Vec<usize>>>,
    pub(super) nodes: Option<Vec<usize>>,
    pub(super) way: Option<Direction>,
    pub(super) share: Option<Share>,
    pub(super) latency: Option<Delay>,
    pub(super) works: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verb {
    Join,
    Start,
    Crash,
    HostLoss,
    Restart,
    Leave,
    Pause,
    Suspend,
    Starve,
    Slow,
    Skew,
    Clone,
    Release,
    Split,
    #[default]
    Heal,
    Mute,
    Deafen,
    Cut,
    Lose,
    Latency,
    ResetLinks,
    Service,
    Store,
    Surprise,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Disk {
    Kept,
    Lost,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Direction {
    In,
    Out,
    Both,
}

impl Raw {
    pub(super) fn step(&self) -> Result<Step, String> {
        let (required, optional) = keys(self.verb);
        for (key, is_given) in self.given() {
            match is_given {
                true if !required.contains(&key) && !optional.contains(&key) => {
                    return Err(format!("'{key}' means nothing here"));
                }
                false if required.contains(&key) => return Err(format!("'{key}' is missing")),
                true | false => {}
            }
        }
        let Some(Span(at)) = self.at else {
            return Err("'at' is missing".to_owned());
        };
        let (times, every) = match (self.times, self.every) {
            (None, None) => (1, Duration::ZERO),
            (Some(times), Some(Span(every))) if (1..=MAX_TIMES).contains(&times) => (times, every),
            (Some(times), Some(_)) => {
                return Err(format!("'times' is {times}; accepted is 1 to {MAX_TIMES}"));
            }
            (Some(_), None) => return Err("'times' needs 'every'".to_owned()),
            (None, Some(_)) => return Err("'every' needs 'times'".to_owned()),
        };
        let action = self.action().ok_or("a key is missing")?;
        Ok(Step { at, action, times, every })
    }

    /// The keys beside `at`, `do`, `times` and `every`, and whether they are there.
    const fn given(&self) -> [(&'static str, bool); 16] {
        [
            ("who", self.who.is_some()),
            ("count", self.count.is_some()),
            ("for", self.span.is_some()),
            ("disk", self.disk.is_some()),
            ("frozen", self.frozen.is_some()),
            ("period", self.period.is_some()),
            ("each", self.each.is_some()),
            ("by", self.by.is_some()),
            ("release", self.release.is_some()),
            ("parts", self.parts.is_some()),
            ("groups", self.groups.is_some()),
            ("nodes", self.nodes.is_some()),
            ("way", self.way.is_some()),
            ("share", self.share.is_some()),
            ("latency", self.latency.is_some()),
            ("works", self.works.is_some()),
        ]
    }

    /// The action, when every key that it needs is there.
    fn action(&self) -> Option<Action> {
        let who = || self.who.clone().map(|Selection(who)| who);
        let span = |span: Option<Span>| span.map(|Span(span)| span);
        let way = match self.way {
            Some(Direction::In) => Way::In,
            Some(Direction::Out) => Way::Out,
            Some(Direction::Both) | None => Way::Both,
        };
        Some(match self.verb {
            Verb::Join => Action::Join(self.count.unwrap_or(1)),
            Verb::Start => Action::Start(who()?),
            Verb::Crash => Action::Crash(who()?),
            Verb::HostLoss => Action::LoseHost(who()?),
            Verb::Restart => Action::Restart(
                who()?,
                match self.disk {
                    Some(Disk::Lost) => Restart::DiskLost,
                    Some(Disk::Kept) | None => Restart::DiskKept,
                },
            ),
            Verb::Leave => Action::Leave(who()?),
            Verb::Pause => Action::Pause(who()?, span(self.span)?),
            Verb::Suspend => Action::Suspend(who()?, span(self.span)?),
            Verb::Starve => Action::Starve {
                who: who()?,
                frozen: span(self.frozen)?,
                period: span(self.period)?,
                span: span(self.span)?,
            },
            Verb::Slow => Action::Slow(who()?, span(self.each)?),
            Verb::Skew => Action::Skew(who()?, self.by?.0),
            Verb::Clone => Action::Clone(who()?),
            Verb::Release => Action::Release(who()?, self.release?),
            Verb::Split => match &self.groups {
                Some(groups) => Action::Part(groups.clone()),
                None => Action::Split(self.parts.unwrap_or(2)),
            },
            Verb::Heal => Action::Heal,
            Verb::Mute => Action::Mute(who()?),
            Verb::Deafen => Action::Deafen(who()?),
            Verb::Cut => Action::Cut(self.nodes.clone()?),
            Verb::Lose => Action::Lose(who(), way, self.share?.0),
            Verb::Latency => Action::Latency(self.latency?.0),
            Verb::ResetLinks => Action::ResetLinks(who()?),
            Verb::Service => Action::Service(who()?, self.works?),
            Verb::Store => Action::Store(self.works?),
            Verb::Surprise => Action::Surprise,
        })
    }

    pub(super) fn verb_name(&self) -> String {
        serde_json::to_string(&self.verb).unwrap_or_default().trim_matches('"').to_owned()
    }
}

/// The keys that a verb needs, and those that it may have.
const fn keys(verb: Verb) -> (&'static [&'static str], &'static [&'static str]) {
    match verb {
        Verb::Join => (&[], &["count"]),
        Verb::Start
        | Verb::Crash
        | Verb::HostLoss
        | Verb::Leave
        | Verb::Clone
        | Verb::Mute
        | Verb::Deafen
        | Verb::ResetLinks => (&["who"], &[]),
        Verb::Restart => (&["who"], &["disk"]),
        Verb::Pause | Verb::Suspend => (&["who", "for"], &[]),
        Verb::Starve => (&["who", "frozen", "period", "for"], &[]),
        Verb::Slow => (&["who", "each"], &[]),
        Verb::Skew => (&["who", "by"], &[]),
        Verb::Release => (&["who", "release"], &[]),
        Verb::Split => (&[], &["parts", "groups"]),
        Verb::Cut => (&["nodes"], &[]),
        Verb::Lose => (&["share"], &["who", "way"]),
        Verb::Latency => (&["latency"], &[]),
        Verb::Service => (&["who", "works"], &[]),
        Verb::Store => (&["works"], &[]),
        Verb::Heal | Verb::Surprise => (&[], &[]),
    }
}

/// All keys of a verb, for an error.
pub(super) fn accepted(verb: Verb) -> String {
    let (required, optional) = keys(verb);
    let names = ["at", "do"].iter().chain(required).map(|key| (*key).to_owned());
    let optional = optional.iter().chain(&["times", "every"]).map(|key| format!("[{key}]"));
    names.chain(optional).collect::<Vec<_>>().join(", ")
}
