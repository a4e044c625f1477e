//! Carrying out what the `Mesh` wants done: sending, asking, checking, writing down, telling.

use std::net::SocketAddr;
use std::sync::Arc;

use super::event_loop::{Leaving, Node};
use super::log::{self, Joins};
use crate::clock::unix_now;
use crate::config::HostPort;
use crate::id::{NodeId, ServiceName};
use crate::manifest::Health;
use crate::mesh::{Destination, Event, Input, Output, Persist, RequestId};
use crate::metrics::KindLabels;
use crate::time::Duration;
use crate::transport::Transport;

/// Addresses of one seed that are tried.
const ADDRESSES_PER_SEED: usize = 4;

impl Node {
    /// Carries out everything that the mesh wants done.
    pub(super) fn carry_out(&mut self) {
        let mut events = Vec::new();
        while let Some(output) = self.mesh.poll_output() {
            match output {
                Output::Datagram { to, bytes } => self.send(to, &bytes),
                Output::Request { to, addr, id, body } => self.ask(to, addr, id, body),
                Output::Respond { id, body } => {
                    if let Some(reply) = self.asked.remove(&id) {
                        // Whoever asked may be gone by now; nothing depends on it.
                        let _ = reply.send(body);
                    }
                }
                Output::Watch(members) => self.transport.watch(members),
                Output::PingLink { to, id, body, within } => self.ping_link(to, id, body, within),
                Output::Connect { to, addr, id } => self.connect(to, addr, id),
                Output::Check(service) => self.check(&service),
                Output::Store(call) => {
                    if self.store.try_send(call).is_err() {
                        tracing::error!("the summary's store has calls waiting; this one is dropped");
                    }
                }
                Output::Persist(persist) => self.persist(persist),
                Output::Event(event) => events.push(event),
                Output::Left => self.leaving = Leaving::Done,
            }
        }
        if !events.is_empty() {
            self.tell(events);
        }
    }

    fn send(&self, to: Destination, bytes: &[u8]) {
        match to {
            Destination::Member { id, addr } => self.transport.send(Some(id), addr, bytes),
            Destination::Address(addr) => self.transport.send(None, addr, bytes),
            Destination::Seed(index) => {
                let Some(seed) = self.config.join.get(index).cloned() else { return };
                let (transport, bytes) = (Arc::clone(&self.transport), bytes.to_vec());
                self.tasks.spawn(send_to_seed(seed, transport, bytes));
            }
        }
    }

    fn ask(&self, to: NodeId, addr: SocketAddr, id: RequestId, body: Vec<u8>) {
        let (links, results) = (self.transport.links(), self.results.clone());
        self.tasks.spawn(async move {
            let result = links.request(to, addr, body).await;
            if let Err(error) = &result {
                tracing::debug!(worker = %to, %addr, %error, "a question over a link has no answer");
            }
            // The loop ends before its tasks do.
            let _ = results.send(Input::Response { id, result }).await;
        });
    }

    fn ping_link(&self, to: NodeId, id: RequestId, body: Vec<u8>, within: Duration) {
        let (transport, results) = (Arc::clone(&self.transport), self.results.clone());
        self.tasks.spawn(async move {
            let result = transport.ping_link(to, body, within).await;
            let _ = results.send(Input::Response { id, result }).await;
        });
    }

    fn connect(&self, to: NodeId, addr: SocketAddr, id: RequestId) {
        let (transport, results) = (Arc::clone(&self.transport), self.results.clone());
        self.tasks.spawn(async move {
            let outcome = transport.who_is_at(addr, to).await;
            let _ = results.send(Input::Connected { id, outcome }).await;
        });
    }

    fn check(&self, service: &ServiceName) {
        let Some(config) = self.services.get(service).cloned() else { return };
        let (checker, results) = (self.checker.clone(), self.results.clone());
        let metrics = self.metrics.clone();
        let was = self.published_health(service);
        self.tasks.spawn(async move {
            let outcome = checker.check(&config).await;
            metrics.checks.get_or_create(&KindLabels { kind: outcome.health.as_str() }).inc();
            let (name, health, detail) = (&config.name, outcome.health.as_str(), &outcome.detail);
            if outcome.health != Health::Healthy && was != outcome.health {
                tracing::warn!(service = %name, health, detail, "a check failed");
            } else {
                tracing::debug!(service = %name, health, detail, "checked");
            }
            let _ = results.send(Input::Checked { service: config.name, outcome }).await;
        });
    }

    /// What the others are told of a service.
    fn published_health(&self, service: &ServiceName) -> Health {
        let view = self.published.views.borrow();
        let manifest = view.member(&view.local).and_then(|own| own.manifest.as_ref());
        let services = manifest.map(|manifest| manifest.services.as_slice()).unwrap_or_default();
        services.iter().find(|it| it.name == *service).map(|it| it.health).unwrap_or_default()
    }

    /// What follows depends on it, so the loop waits; a write record comes a few times a day, peers every few seconds
    /// at most.
    fn persist(&self, persist: Persist) {
        let result = tokio::task::block_in_place(|| match persist {
            Persist::WriteRecord(record) => self.data_dir.set_write_record(&record),
            Persist::Peers(peers) => self.data_dir.write_peers(&peers),
        });
        if let Err(error) = result {
            tracing::error!(%error, "not written down");
        }
    }

    fn tell(&mut self, events: Vec<Event>) {
        // Names of workers come from the view, so it must know of what is told.
        let view = self.mesh.view(self.clock.now());
        self.published.publish(Arc::clone(&view));
        for event in events {
            let joins = Joins {
                seeds: &self.config.join,
                cluster: &self.config.cluster,
                key_id: self.keyring.sealing().id(),
            };
            log::event(&event, &view, &joins);
            self.metrics.observe_event(&event);
            self.journal.record(&event, unix_now());
            if let Event::EpochBehind { known } = event {
                self.raise_epoch(known);
            }
        }
    }
}

async fn send_to_seed(seed: HostPort, transport: Arc<Transport>, bytes: Vec<u8>) {
    match tokio::net::lookup_host((seed.host.as_str(), seed.port)).await {
        Ok(addresses) => {
            for addr in addresses.take(ADDRESSES_PER_SEED) {
                transport.send(None, addr, &bytes);
            }
        }
        Err(error) => tracing::debug!(%seed, %error, "a seed's name cannot be resolved"),
    }
}
