//! The file format of scenarios: TOML, read strictly and written so that it reads back.

use serde::{Deserialize, Serialize};

use super::raw::{Raw, accepted};
use super::values::{Delay, Mode, Share, Span};
use super::{Scenario, Usual};

/// There is no such scenario, or it is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a built-in scenario nor a file.
    #[error("there is no scenario '{name}'; accepted are the path of a file, and {names}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        names: String,
    },
    /// The file cannot be read.
    #[error("cannot read the scenario {path}: {error}")]
    Unreadable {
        /// The path.
        path: String,
        /// Why.
        error: String,
    },
    /// Not TOML, or a wrong key or value; the text shows the place and what is accepted.
    #[error("{name}: {error}")]
    Malformed {
        /// Of which scenario.
        name: String,
        /// The place, the value, and what is accepted.
        error: String,
    },
    /// A step has a key that its verb does not know, or lacks one that it needs.
    #[error("{name}: step {step} ({verb}): {problem}; its keys are {accepted}")]
    Step {
        /// Of which scenario.
        name: String,
        /// Which step, counted from 1.
        step: usize,
        /// What it does.
        verb: String,
        /// What is wrong.
        problem: String,
        /// The keys of this verb, those in brackets optional.
        accepted: String,
    },
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    about: String,
    nodes: Option<usize>,
    #[serde(rename = "for")]
    duration: Option<Span>,
    settle: Option<Span>,
    seeds: Option<usize>,
    stagger: Option<Span>,
    hold: Option<Span>,
    staleness: Option<Span>,
    loss: Option<Share>,
    duplicate: Option<Share>,
    reorder: Option<Share>,
    latency: Option<Delay>,
    mode: Option<Mode>,
    #[serde(default, rename = "step")]
    steps: Vec<Raw>,
}

impl Scenario {
    /// Reads a scenario; `name` is for errors and replay lines.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let malformed = |error: toml::de::Error| ScenarioError::Malformed {
            name: name.to_owned(),
            error: error.to_string().trim_end().to_owned(),
        };
        let file: File = toml::from_str(text).map_err(malformed)?;
        let steps = file.steps.iter().enumerate();
        let steps = steps.map(|(index, raw)| {
            raw.step().map_err(|problem| ScenarioError::Step {
                name: name.to_owned(),
                step: index + 1,
                verb: raw.verb_name(),
                problem,
                accepted: accepted(raw.verb),
            })
        });
        let span = |span: Option<Span>| span.map(|Span(span)| span);
        let share = |share: Option<Share>| share.map(|Share(share)| share);
        let usual = Usual {
            nodes: file.nodes,
            duration: span(file.duration),
            settle: span(file.settle),
            seeds: file.seeds,
            stagger: span(file.stagger),
            hold: span(file.hold),
            staleness: span(file.staleness),
            loss: share(file.loss),
            duplicate: share(file.duplicate),
            reorder: share(file.reorder),
            latency: file.latency.map(|Delay(latency)| latency),
            mode: file.mode.map(|Mode(mode)| mode),
        };
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), about: file.about, usual, steps })
    }

    /// The scenario as a file.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let Usual { nodes, duration, settle, seeds, stagger, hold, staleness, .. } = self.usual;
        let Usual { loss, duplicate, reorder, latency, mode, .. } = self.usual;
        let file = File {
            about: self.about.clone(),
            nodes,
            duration: duration.map(Span),
            settle: settle.map(Span),
            seeds,
            stagger: stagger.map(Span),
            hold: hold.map(Span),
            staleness: staleness.map(Span),
            loss: loss.map(Share),
            duplicate: duplicate.map(Share),
            reorder: reorder.map(Share),
            latency: latency.map(Delay),
            mode: mode.map(Mode),
            steps: self.steps.iter().map(Raw::from).collect(),
        };
        toml::to_string(&file)
    }
}
