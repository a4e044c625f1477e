//! False deaths: which of them are forbidden, and which are only counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshnode::mesh::Detector;
use meshnode::view::{Status, View};
use meshsim::checkers::Kind;
use meshsim::model::{Mark, Model, State};

use super::{assert_violates, at, member, see, three, three_with, true_view, view};

fn held_dead(node: usize) -> Arc<View> {
    let status = |other| if other == node { Status::Dead } else { Status::Alive };
    view(1, Some(0), (0..3).map(|other| member(other, status(other), 0)))
}

#[test]
fn false_death_sees_that_the_healthy_are_held_dead() {
    let (model, mut checkers) = three();
    for node in 0..3 {
        see(&mut checkers, 70, node, true_view(node), &model).unwrap();
    }
    assert_violates(Kind::FalseDeath, "n1 holds n2 dead", see(&mut checkers, 80, 1, held_dead(2), &model));
    assert_eq!(checkers.false_deaths.healthy(), 1);
}

#[test]
fn false_death_only_counts_those_that_had_trouble() {
    // Paused, starved, just reconnected, cut one way, or among the sick.
    let wrong: [fn(&mut Model); 5] = [
        |model| model.set_mark(2, Mark::Starved, true, at(75)),
        |model| model.set_state(2, State::Paused, at(75)),
        |model| model.set_parts(vec![0, 0, 0], BTreeSet::new(), at(75)),
        |model| model.set_parts(vec![], BTreeSet::from([(2, 1)]), at(10)),
        // Of three, one that is sick leaves too few who could tell.
        |model| model.set_mark(0, Mark::Lossy, true, at(75)),
    ];
    for make_wrong in wrong {
        let (mut model, mut checkers) = three();
        for node in 0..3 {
            see(&mut checkers, 70, node, true_view(node), &model).unwrap();
        }
        make_wrong(&mut model);
        see(&mut checkers, 80, 1, held_dead(2), &model).unwrap();
        assert_eq!((checkers.false_deaths.healthy(), checkers.false_deaths.marked()), (0, 1));
    }
    let (mut model, mut checkers) = three();
    see(&mut checkers, 70, 1, true_view(1), &model).unwrap();
    model.set_state(2, State::Crashed, at(75));
    see(&mut checkers, 80, 1, held_dead(2), &model).unwrap();
    assert_eq!(checkers.false_deaths.marked(), 0, "a true death is no false one");
}

#[test]
fn false_death_is_counted_and_not_forbidden_without_witnesses() {
    let (model, mut checkers) = three_with(Detector::Swim);
    for node in 0..3 {
        see(&mut checkers, 70, node, true_view(node), &model).unwrap();
    }
    see(&mut checkers, 80, 1, held_dead(2), &model).unwrap();
    assert_eq!(checkers.false_deaths.healthy(), 1);
}
