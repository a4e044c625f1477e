//! Views converge to the truth: each node that is up sees its own part of the network, as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshnode::id::ServiceName;
use meshnode::manifest::{Health, Manifest};
use meshnode::view::View;

use crate::model::{Model, State, Truth};

/// The first way in which the view of a node that is up differs from the truth.
///
/// What a paused, leaving or marked node is held for is open, and so is everything while some pair is cut one way.
pub fn difference(model: &Model, views: &[Option<Arc<View>>]) -> Option<String> {
    if model.one_way() {
        return None;
    }
    let is_well = |node: &usize| model.nodes()[*node].marks.is_empty();
    model.in_state(State::Up).filter(is_well).find_map(|observer| {
        match views.get(observer).and_then(Option::as_ref) {
            None => Some(format!("n{observer} has no view")),
            Some(view) => wrong_in(model, observer, view).map(|text| format!("n{observer} {text}")),
        }
    })
}

fn wrong_in(model: &Model, observer: usize, view: &View) -> Option<String> {
    if !view.ready {
        return Some("is not ready".to_owned());
    }
    if let Some(stranger) = view.members.iter().find(|member| model.index_of(&member.id).is_none()) {
        return Some(format!("holds a member that nobody is: {}", stranger.id));
    }
    (0..model.nodes().len()).find_map(|subject| wrong_about(model, observer, view, subject))
}

fn wrong_about(model: &Model, observer: usize, view: &View, subject: usize) -> Option<String> {
    let truth = &model.nodes()[subject];
    let member = view.member(&truth.id);
    let held = member.filter(|member| member.status.is_live());
    let here = model.part_of(observer) == model.part_of(subject);
    match truth.state {
        State::Paused | State::Leaving | State::Silenced => None,
        _ if !truth.marks.is_empty() => None,
        State::Up if here => {
            let Some(held) = held else {
                let status = member.map_or("unknown", |member| member.status.as_str());
                return Some(format!("holds n{subject} {status}, but it is up"));
            };
            if held.version.epoch != truth.epoch {
                return Some(format!("holds n{subject} at the epoch {}", held.version.epoch));
            }
            wrong_manifest(truth, held.manifest.as_deref()).map(|what| format!("holds n{subject} {what}"))
        }
        _ if model.has_double(subject) => None,
        State::Up | State::NotStarted | State::Crashed | State::Left => held.map(|held| {
            let status = held.status.as_str();
            let why =
                if truth.state == State::Up { "cut off".to_owned() } else { format!("{:?}", truth.state) };
            format!("holds n{subject} {status} at {:?}, but it is {why}", held.version)
        }),
    }
}

fn wrong_manifest(truth: &Truth, manifest: Option<&Manifest>) -> Option<String> {
    let Some(manifest) = manifest else {
        return Some("without a manifest".to_owned());
    };
    if manifest.version.epoch != truth.epoch {
        return Some(format!("with the manifest {:?} of an earlier boot", manifest.version));
    }
    let shown: BTreeMap<ServiceName, bool> = manifest
        .services
        .iter()
        .map(|service| (service.name.clone(), service.health == Health::Healthy))
        .collect();
    (shown != truth.services).then(|| format!("with the services {shown:?}"))
}
