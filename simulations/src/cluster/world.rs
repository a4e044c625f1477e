//! What the world does: it carries datagrams and requests, answers checks and store calls, and wakes sleepers.

use meshnode::id::ServiceName;
use meshnode::manifest::Health;
use meshnode::mesh::{Event, Input, LocalChange, Output};
use meshnode::probe::Outcome;
use meshnode::summary::StoreCall;
use meshnode::time::{Duration, Instant};
use meshnode::view::Load;
use rand::RngExt as _;

use super::faults::Ending;
use super::links::Exchange;
use super::{Cluster, Happening, TICK, explain, node};
use crate::checkers::{Kind, Violation};
use crate::model::{Mark, State};
use crate::trace::Who;

/// How long a health check takes.
const CHECK: Duration = Duration::from_millis(3);

/// How long a call of the store takes.
const STORE_CALL: Duration = Duration::from_millis(60);

/// Between two looks at how busy a machine is.
const LOAD_INTERVAL: Duration = Duration::from_secs(5);

/// A mesh of at most so many nodes is looked at after every input.
const SMALL: usize = 64;

/// Between two looks at a larger one, whose views cost more to make than all that happens in between.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// What one input may make a node do.
const MAX_OUTPUTS: usize = 4_096;

impl Cluster {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick => self.tick(),
            Happening::Look => {
                self.queue.push(self.now + LOOK, Happening::Look);
                self.look();
            }
            Happening::Wake { node, boot } => self.wake(node, boot),
            Happening::Datagram { to, sealed_for, source, bytes } => {
                let opens = |n: &node::Node| sealed_for.is_none_or(|hash| hash == n.hash);
                if let Some(node) = self.holder(to)
                    && self.nodes[node].host == node::Host::Up
                    && opens(&self.nodes[node])
                {
                    let bytes = self.nodes[node].release.reads(bytes);
                    self.feed(node, Input::Datagram { source, bytes });
                }
            }
            Happening::Asked { link, body } => self.asked(link, body),
            Happening::Answered { link, body } => self.end_exchange(link, Ok(body)),
            Happening::Failed { link, failure } => self.end_exchange(link, Err(failure)),
            Happening::Checked { node, boot, service } if self.runs(node, boot) => {
                self.checked(node, service)
            }
            Happening::Stored { node, boot, reply } if self.runs(node, boot) => {
                self.checkers.bounds.store_call_ended(node);
                self.note(Who::Node(node), format_args!("store says {}", explain::store_reply(&reply)));
                self.feed(node, Input::Store(reply));
            }
            Happening::Load { node, boot } if self.runs(node, boot) => self.load(node, boot),
            Happening::Raised { node, boot, known } if self.runs(node, boot) => self.raise_epoch(node, known),
            Happening::Resume { node, boot } if self.runs(node, boot) => self.resume(node),
            Happening::Serve { node, boot } if self.runs(node, boot) => self.serve(node),
            Happening::Freeze { node, boot, rhythm } if self.runs(node, boot) => self.freeze(node, rhythm),
            Happening::Start { node } => self.start(node),
            Happening::Tcp(tcp) => self.happen_tcp(tcp),
            Happening::Checked { .. }
            | Happening::Stored { .. }
            | Happening::Load { .. }
            | Happening::Raised { .. }
            | Happening::Resume { .. }
            | Happening::Serve { .. }
            | Happening::Freeze { .. } => {}
        }
    }

    /// Does what the node's `Mesh` wants done, plans its next wake-up, and shows its view to the checkers.
    pub(super) fn drain(&mut self, node: usize) {
        for _ in 0..MAX_OUTPUTS {
            let output = self.nodes[node].process.as_mut().and_then(|process| process.mesh.poll_output());
            let Some(output) = output else {
                self.plan_wake(node);
                self.observe(node);
                return;
            };
            self.perform(node, output);
        }
        let text = format!("n{node}: more than {MAX_OUTPUTS} outputs after one input");
        self.fail(Err(Violation { kind: Kind::Bounds, at: self.now, text }));
    }

    fn perform(&mut self, node: usize, output: Output) {
        let Some(boot) = self.nodes[node].process.as_ref().map(|process| process.boot) else {
            return;
        };
        match output {
            Output::Datagram { to, bytes } => self.send(node, to, bytes),
            Output::Request { to, addr, id, body } => {
                let exchange = Exchange { from: node, from_boot: boot, id, to: 0 };
                self.ask(exchange, to, addr, body);
            }
            Output::Respond { id, body } => self.respond(node, id, body),
            Output::Watch(watched) => self.watch(node, boot, watched),
            Output::PingLink { to, id, body, within } => {
                let exchange = Exchange { from: node, from_boot: boot, id, to: 0 };
                self.ping_link(exchange, to, body, within);
            }
            Output::Connect { to, addr, id } => self.connect(node, boot, id, to, addr),
            Output::Check(service) => {
                let counted = self.checkers.bounds.check(self.now, node, &service);
                self.fail(counted);
                self.queue.push(self.now + CHECK, Happening::Checked { node, boot, service });
            }
            Output::Store(call) => self.call_store(node, boot, call),
            Output::Persist(what) => self.nodes[node].disk.write(what),
            Output::Event(event) => self.show(node, boot, &event),
            Output::Left => self.stop(node, State::Left, Ending::Goodbye),
        }
    }

    fn tick(&mut self) {
        self.queue.push(self.now + TICK, Happening::Tick);
        if self.meter.is_some() {
            return self.checkers.bounds.tick();
        }
        let ticked = self.checkers.tick(self.now, &self.model);
        self.fail(ticked);
        for (node, machine) in self.nodes.iter().enumerate() {
            let Some(process) = &machine.process else { continue };
            let (vitals, members) = (process.mesh.vitals(), process.mesh.live_count());
            if let Err(violation) = self.checkers.bounds.vitals(self.now, node, vitals, members) {
                return self.fail(Err(violation));
            }
        }
    }

    fn plan_wake(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        let deadline =
            process.mesh.poll_timeout().map(|local| process.started + local.since(Instant::ORIGIN));
        let wake = deadline.map(|deadline| deadline.max(self.now));
        if process.stands_still() || wake == process.wake {
            return;
        }
        process.wake = wake;
        if let Some(wake) = wake {
            self.queue.push(wake, Happening::Wake { node, boot: process.boot });
        }
    }

    fn wake(&mut self, node: usize, boot: u64) {
        let now = self.now;
        // A deadline that was planned anew since leaves its old entry in the queue.
        let due = |process: &&mut node::Process| process.boot == boot && process.wake == Some(now);
        let Some(process) = self.nodes[node].process.as_mut().filter(due) else {
            return;
        };
        process.wake = None;
        if process.stands_still() {
            return;
        }
        let counted = self.checkers.bounds.woke(now, node);
        self.fail(counted);
        self.feed(node, Input::Tick);
    }

    /// Shows the node's view to the checkers: at once, or, in a large mesh, together with others.
    fn observe(&mut self, node: usize) {
        if self.meter.is_some() {
            return;
        }
        self.unseen.insert(node);
        if self.nodes.len() <= SMALL {
            self.look();
        }
    }

    /// Shows the views that changed to the checkers.
    pub(super) fn look(&mut self) {
        let mut changed = Vec::new();
        for node in std::mem::take(&mut self.unseen) {
            let Some(process) = &mut self.nodes[node].process else {
                continue;
            };
            let version = process.mesh.view_version();
            if process.view_version.replace(version) != Some(version) {
                changed.push((node, process.mesh.view(process.local(self.now))));
            }
        }
        let observed = self.checkers.observe(self.now, changed, &self.model);
        self.fail(observed);
    }

    fn checked(&mut self, node: usize, service: ServiceName) {
        self.checkers.bounds.check_ended(node, &service);
        let answers = self.model.nodes()[node].services.get(&service).copied().unwrap_or(false);
        let outcome = Outcome {
            health: if answers { Health::Healthy } else { Health::Unhealthy },
            refused: !answers,
            version: None,
            detail: if answers { "200 OK" } else { "connection refused" }.to_owned(),
        };
        self.feed(node, Input::Checked { service, outcome });
    }

    fn call_store(&mut self, node: usize, boot: u64, call: StoreCall) {
        let counted = self.checkers.bounds.store_call(self.now, node);
        self.fail(counted);
        self.note(Who::Node(node), format_args!("store {}", explain::store_call(&call)));
        if matches!(call, StoreCall::Put { .. }) {
            let written = self.checkers.budget.write(self.now, node);
            self.fail(written);
        }
        let reply = self.store.answer(node, call, self.now);
        self.queue.push(self.now + STORE_CALL, Happening::Stored { node, boot, reply });
    }

    pub(super) fn load(&mut self, node: usize, boot: u64) {
        if self.meter.is_some() {
            return self.load_once(node);
        }
        let in_flight = self.boots.random_range(0..16_u8);
        let load = Load {
            busy: f32::from(in_flight) / 16.0,
            available_memory: 1 << 30,
            in_flight: u32::from(in_flight),
        };
        self.queue.push(self.now + LOAD_INTERVAL, Happening::Load { node, boot });
        self.feed(node, Input::Local(LocalChange::Load(load)));
    }

    fn show(&mut self, node: usize, boot: u64, event: &Event) {
        if self.meter.is_some() {
            self.sight(node, event);
        } else {
            let text = explain::event(event, &self.model);
            self.note(Who::Node(node), format_args!("{text}"));
        }
        if let Event::EpochBehind { known } = event {
            self.queue.push(self.now, Happening::Raised { node, boot, known: *known });
        }
        if let Event::Cloned { gives_way: true, .. } = event {
            self.model.set_state(node, State::Silenced, self.now);
        }
        if let Event::Damped(is_damped) = event {
            self.model.set_mark(node, Mark::Damped, *is_damped, self.now);
        }
    }
}
