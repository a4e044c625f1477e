//! The event loop: the only place that changes the `Mesh`. It waits for whatever comes first, hands it in, and carries
//! out what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, interval, sleep_until};
use tokio_util::task::TaskTracker;

use super::address::Address;
use super::datadir::DataDir;
use super::local_services::LocalServices;
use super::published::Published;
use super::sleep::Sleep;
use crate::admin::{Command, Journal};
use crate::clock::{Clock, unix_now};
use crate::config::Config;
use crate::id::ServiceName;
use crate::mesh::{Input, LocalChange, Mesh, RequestId};
use crate::metrics::Metrics;
use crate::probe::checker::Checker;
use crate::router::proxy::certificate::Certificate;
use crate::router::proxy::{EdgeSecrets, Proxy, Tracing};
use crate::summary::StoreCall;
use crate::transport::{Hint, Keyring, LinkRequest, Received, Transport};

/// Datagrams that are taken in one turn, so that a flood of them cannot starve the timers.
const DATAGRAMS_PER_TURN: usize = 64;

/// The view's times and loads, and the live summary, are brought up to date this often.
const REFRESH: Duration = Duration::from_secs(1);

/// Others hear within this time that a node drains, and stop sending; until then it takes what they send.
const DRAIN_NOTICE: Duration = Duration::from_millis(250);

/// The same for edges, which ask every 5 s which nodes there are. Behind a tunnel a closed port looks like a request that broke.
const EDGE_NOTICE: Duration = Duration::from_secs(6);

/// For the goodbyes of what is still open at the end of the drain.
const PARTING: Duration = Duration::from_secs(1);

/// Epochs are made from clocks, which may be wrong, but an epoch near the end of all numbers would be this node's last.
const MAX_EPOCH_AHEAD: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Where a node is on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaving {
    No,
    /// The others are told. From the first moment on it takes nothing new, and waits until the second at most.
    Announced {
        from: TokioInstant,
        until: TokioInstant,
    },
    /// It waits for its requests to finish.
    Draining {
        until: TokioInstant,
    },
    /// It says goodbye to those that do not.
    Parting {
        until: TokioInstant,
    },
    /// It tells the others.
    Told,
    Done,
}

/// All that wakes the loop besides time.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) datagrams: mpsc::Receiver<Received>,
    pub(super) requests: mpsc::Receiver<LinkRequest>,
    pub(super) hints: mpsc::Receiver<Hint>,
    /// What tasks of this node bring back.
    pub(super) results: mpsc::Receiver<Input>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) refused: mpsc::Receiver<ServiceName>,
}

/// The node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) mesh: Mesh,
    pub(super) clock: Clock,
    pub(super) sleep: Sleep,
    pub(super) config: Config,
    pub(super) transport: Arc<Transport>,
    pub(super) inbox: Inbox,
    pub(super) proxy: Proxy,
    pub(super) data_dir: Arc<DataDir>,
    pub(super) journal: Arc<Journal>,
    pub(super) metrics: Metrics,
    pub(super) checker: Checker,
    pub(super) address: Address,
    pub(super) services: LocalServices,
    pub(super) epoch: u64,
    pub(super) keyring: Keyring,
    pub(super) published: Published,
    pub(super) store: mpsc::Sender<StoreCall>,
    /// For what tasks of this node bring back.
    pub(super) results: mpsc::Sender<Input>,
    /// Members that wait for an answer.
    pub(super) asked: BTreeMap<RequestId, oneshot::Sender<Vec<u8>>>,
    pub(super) last_asked: u64,
    pub(super) tracing: Option<Tracing>,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) edge_secrets: Option<EdgeSecrets>,
    pub(super) tasks: TaskTracker,
    pub(super) leaving: Leaving,
}

/// What woke the loop.
enum Wake {
    Datagram(Received),
    Request(LinkRequest),
    Result(Input),
    Refused(ServiceName),
    Command(Command),
    Hint(Hint),
    Refresh,
    Time,
}

impl Node {
    /// Runs until the node has left. Cancel-safe between two turns: it may be dropped and called again.
    pub(super) async fn run(&mut self) {
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !matches!(self.leaving, Leaving::Done) {
            let wake = self.wait(&mut refresh).await;
            self.notice_sleep();
            self.handle(wake);
            self.advance_leave();
            self.carry_out();
            self.publish_if_due();
        }
    }

    async fn wait(&mut self, refresh: &mut tokio::time::Interval) -> Wake {
        let deadline = self.deadline();
        let drained = self.proxy.clone();
        let is_draining = matches!(self.leaving, Leaving::Draining { .. } | Leaving::Parting { .. });
        tokio::select! {
            Some(received) = self.inbox.datagrams.recv() => Wake::Datagram(received),
            Some(request) = self.inbox.requests.recv() => Wake::Request(request),
            Some(result) = self.inbox.results.recv() => Wake::Result(result),
            Some(service) = self.inbox.refused.recv() => Wake::Refused(service),
            Some(command) = self.inbox.commands.recv() => Wake::Command(command),
            Some(hint) = self.inbox.hints.recv() => Wake::Hint(hint),
            _ = refresh.tick() => Wake::Refresh,
            () = drained.drained(), if is_draining => Wake::Time,
            () = sleep_until(deadline) => Wake::Time,
        }
    }

    /// Before anything else: what waits was sent to a node that was not there.
    fn notice_sleep(&mut self) {
        let Some(slept) = self.sleep.slept(&self.clock) else { return };
        tracing::info!(?slept, "the machine was asleep");
        self.transport.renew_seal();
        self.feed(Input::Slept);
    }

    fn handle(&mut self, wake: Wake) {
        match wake {
            Wake::Datagram(received) => self.handle_datagrams(received),
            Wake::Request(LinkRequest { from, body, reply }) => {
                self.last_asked += 1;
                let id = RequestId(self.last_asked);
                self.asked.insert(id, reply);
                self.feed(Input::Request { from, id, body });
            }
            Wake::Result(input) => {
                if let Input::Local(LocalChange::Address(addr)) = input {
                    self.address.confirm(addr);
                }
                self.feed(input);
            }
            Wake::Refused(service) => self.feed(Input::ConnectRefused(service)),
            Wake::Command(command) => self.handle_command(command),
            // Once ready, only the mesh itself can tell a lost disk from a copied key.
            Wake::Hint(Hint::EpochBehind { known }) => {
                if !self.published.views.borrow().ready {
                    self.raise_epoch(known);
                }
            }
            Wake::Hint(Hint::Admitted { peer, boot_nonce }) => {
                self.feed(Input::Admitted { peer, boot_nonce })
            }
            Wake::Hint(Hint::LinkLost { peer }) => self.feed(Input::LinkLost { peer }),
            Wake::Hint(Hint::ReachedAt(ip)) => {
                if let Some(addr) = self.address.reached_at(ip) {
                    self.feed(Input::Local(LocalChange::Address(addr)));
                }
            }
            Wake::Refresh => self.refresh(),
            Wake::Time => self.feed(Input::Tick),
        }
    }

    fn handle_datagrams(&mut self, first: Received) {
        let mut next = Some(first);
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(Received { source, plaintext }) = next else { return };
            self.feed(Input::Datagram { source, bytes: plaintext });
            next = self.inbox.datagrams.try_recv().ok();
        }
        if let Some(Received { source, plaintext }) = next {
            self.feed(Input::Datagram { source, bytes: plaintext });
        }
        // The turn may have lasted beyond a deadline.
        self.feed(Input::Tick);
    }

    pub(super) fn feed(&mut self, input: Input) {
        let now = self.clock.now();
        if self.mesh.poll_timeout().is_some_and(|due| due <= now) && !matches!(input, Input::Tick) {
            self.mesh.handle(Input::Tick, now);
            self.carry_out();
        }
        self.mesh.handle(input, now);
        self.carry_out();
    }

    fn deadline(&self) -> TokioInstant {
        let mesh = self.mesh.poll_timeout().map(|at| TokioInstant::from_std(self.clock.at(at)));
        let view = self.is_view_stale().then(|| self.published.next_at());
        let leave = match self.leaving {
            Leaving::Announced { from, .. } => Some(from),
            Leaving::Draining { until } | Leaving::Parting { until } => Some(until),
            Leaving::No | Leaving::Told | Leaving::Done => None,
        };
        [mesh, view, leave].into_iter().flatten().min().unwrap_or_else(|| now() + REFRESH)
    }

    fn refresh(&mut self) {
        let view = self.mesh.refreshed_view(self.clock.now());
        self.metrics.observe_view(&view);
        self.metrics.observe_vitals(self.mesh.vitals());
        self.published.publish(view);
        let summary = self.mesh.live_summary(unix_now().as_secs(), self.clock.now());
        self.published.publish_summary(summary);
    }

    fn is_view_stale(&self) -> bool {
        self.mesh.view_version() != self.published.version
    }

    fn publish_if_due(&mut self) {
        if self.is_view_stale() && self.published.next_at() <= now() {
            self.published.publish(self.mesh.view(self.clock.now()));
        }
    }

    /// Drains, then leaves. Said again, it leaves at once.
    pub(super) fn begin_leave(&mut self, why: &'static str) {
        match self.leaving {
            Leaving::No => {
                tracing::info!(why, timeout = ?self.config.drain_timeout, "draining");
                let notice = if self.config.edge.is_some() { EDGE_NOTICE } else { DRAIN_NOTICE };
                let until = now() + self.config.drain_timeout.max(DRAIN_NOTICE);
                let from = until.min(now() + notice);
                self.leaving = Leaving::Announced { from, until };
                self.feed(Input::Local(LocalChange::Draining));
            }
            Leaving::Announced { from, .. } => self.leaving = Leaving::Announced { from, until: from },
            Leaving::Draining { .. } => self.leaving = Leaving::Draining { until: now() },
            Leaving::Parting { .. } => self.leaving = Leaving::Parting { until: now() },
            Leaving::Told | Leaving::Done => self.leaving = Leaving::Done,
        }
        self.publish_if_due();
    }

    fn advance_leave(&mut self) {
        let now = now();
        if let Leaving::Announced { from, until } = self.leaving
            && from <= now
        {
            self.proxy.close();
            self.leaving = Leaving::Draining { until };
        }
        if let Leaving::Draining { until } = self.leaving
            && until <= now
        {
            self.proxy.part();
            self.leaving = Leaving::Parting { until: now + PARTING };
        }
        let is_over = match self.leaving {
            Leaving::Draining { .. } => self.proxy.is_drained(),
            Leaving::Parting { until } => until <= now || self.proxy.is_drained(),
            Leaving::No | Leaving::Announced { .. } | Leaving::Told | Leaving::Done => false,
        };
        if is_over {
            tracing::info!(in_flight = self.proxy.in_flight(), "leaving");
            self.leaving = Leaving::Told;
            self.feed(Input::Leave);
        }
    }

    /// The mesh knows this node at `known`: its disk was lost or is old.
    pub(super) fn raise_epoch(&mut self, known: u64) {
        // One that gave way to a copy of itself must not outbid it again.
        if known < self.epoch || self.mesh.is_quarantined() {
            return;
        }
        if known > unix_now().saturating_add(MAX_EPOCH_AHEAD).as_secs() {
            tracing::error!(
                known,
                "a member claims an epoch of this node that no boot can have had; it is ignored"
            );
            return;
        }
        match self.data_dir.raise_epoch(known) {
            Ok(epoch) => {
                tracing::info!(known, epoch, "the mesh knew a higher epoch of this node");
                self.epoch = epoch;
                self.transport.set_epoch(epoch);
                self.feed(Input::Local(LocalChange::Epoch(epoch)));
            }
            Err(error) => tracing::error!(%error, "the epoch was not raised"),
        }
    }
}

fn now() -> TokioInstant {
    TokioInstant::now()
}
