//! Processes that stand still: stopped, suspended with their machine, starved of time, or on a slow processor.

use meshnode::mesh::Input;
use meshnode::time::{Duration, Instant};

use super::node::Host;
use super::{Cluster, Happening};
use crate::model::{Mark, State};
use crate::trace::Who;

/// A process that gets too little time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// It stands still for so long,
    pub frozen: Duration,
    /// of every so long,
    pub period: Duration,
    /// until then.
    pub until: Instant,
}

impl Cluster {
    /// Stops the process for a while; what comes in waits, and the kernel goes on.
    pub fn pause(&mut self, node: usize, span: Duration) {
        if self.nodes[node].process.is_some() {
            self.note(Who::World, format_args!("n{node} stops for {span:?}"));
            self.stand_still(node, span);
        }
    }

    /// Suspends the machine for a while: nobody is there, and its clock does not count the time.
    pub fn suspend(&mut self, node: usize, span: Duration) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        process.asleep_since.get_or_insert(now);
        self.nodes[node].host = Host::Asleep;
        self.note(Who::World, format_args!("n{node} is suspended for {span:?}"));
        self.stand_still(node, span);
        self.doubt_links();
    }

    /// Lets a stopped process go on: it sees that time has passed, and everything that waited.
    pub fn resume(&mut self, node: usize) {
        let now = self.now;
        let machine = &mut self.nodes[node];
        let Some(process) = machine.process.as_mut().filter(|process| process.is_frozen) else {
            return;
        };
        process.is_frozen = false;
        let slept = process.asleep_since.take();
        if let Some(since) = slept {
            process.started += now.since(since);
            machine.host = Host::Up;
        }
        let backlog = std::mem::take(&mut process.backlog);
        self.note(Who::World, format_args!("n{node} goes on, {} inputs waited", backlog.len()));
        self.model.disturb(self.now);
        if self.model.nodes()[node].state == State::Paused {
            self.model.set_state(node, State::Up, self.now);
        }
        if slept.is_some() {
            self.doubt_links();
            self.feed(node, Input::Slept);
        }
        self.feed(node, Input::Tick);
        for input in backlog {
            self.feed(node, input);
        }
    }

    /// The process gets too little time for a while.
    pub fn starve(&mut self, node: usize, frozen: Duration, period: Duration, span: Duration) {
        let Some(boot) = self.nodes[node].process.as_ref().map(|process| process.boot) else {
            return;
        };
        self.note(Who::World, format_args!("n{node} starves: {frozen:?} of {period:?}, for {span:?}"));
        self.model.set_mark(node, Mark::Starved, true, self.now);
        let rhythm = Rhythm { frozen, period, until: self.now + span };
        self.queue.push(self.now, Happening::Freeze { node, boot, rhythm });
    }

    /// The machine's processor needs so long for each input; with zero it is as fast as the others.
    pub fn slow_down(&mut self, node: usize, slowness: Duration) {
        self.note(Who::World, format_args!("n{node} needs {slowness:?} for each input"));
        self.nodes[node].slowness = slowness;
        self.model.set_mark(node, Mark::Slow, !slowness.is_zero(), self.now);
    }

    /// Ends every fault but death and loss, so that the truth can be found.
    pub fn make_whole(&mut self) {
        self.heal();
        self.set_store_out(false);
        self.end_pauses();
    }

    /// Lets all processes have their time again.
    fn end_pauses(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.nodes[node].slowness.is_zero() {
                self.slow_down(node, Duration::ZERO);
            }
            self.resume(node);
        }
        self.model.clear_mark(Mark::Starved, self.now);
    }

    pub(super) fn freeze(&mut self, node: usize, rhythm: Rhythm) {
        let is_starved = self.model.nodes()[node].marks.contains(&Mark::Starved);
        if !is_starved {
            return;
        }
        if self.now >= rhythm.until {
            self.note(Who::World, format_args!("n{node} has time again"));
            self.model.set_mark(node, Mark::Starved, false, self.now);
            return;
        }
        self.stand_still(node, rhythm.frozen);
        if let Some(boot) = self.nodes[node].process.as_ref().map(|process| process.boot) {
            self.queue.push(self.now + rhythm.period, Happening::Freeze { node, boot, rhythm });
        }
    }

    /// The processor has taken an input and is busy with it.
    pub(super) fn keep_busy(&mut self, node: usize, slowness: Duration) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        process.is_busy = true;
        process.wake = None;
        self.queue.push(self.now + slowness, Happening::Serve { node, boot: process.boot });
    }

    /// A slow processor takes the next input that waits; one that is slow no more takes them all.
    pub(super) fn serve(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        process.is_busy = false;
        while let Some(process) = self.nodes[node].process.as_mut().filter(|process| !process.stands_still())
            && let Some(input) = process.backlog.pop_front()
        {
            self.feed(node, input);
        }
        self.drain(node);
    }

    fn stand_still(&mut self, node: usize, span: Duration) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        process.is_frozen = true;
        process.wake = None;
        let boot = process.boot;
        self.queue.push(self.now + span, Happening::Resume { node, boot });
        if self.model.nodes()[node].state == State::Up {
            self.model.set_state(node, State::Paused, self.now);
        }
    }
}
