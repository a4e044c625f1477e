//! The services of this node: those of its configuration, and those that were added at run time.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::event_loop::Node;
use crate::admin::Command;
use crate::config::{Config, ServiceConfig};
use crate::id::ServiceName;
use crate::mesh::{Input, LocalChange};
use crate::probe::Target;

/// The services by name, as the proxy and the admin API see them.
pub(super) type ByName = BTreeMap<ServiceName, ServiceConfig>;

/// The services of this node. One that was added at run time hides the configured one of the same name.
#[derive(Debug)]
pub(super) struct LocalServices {
    configured: ByName,
    added: ByName,
    effective: watch::Sender<Arc<ByName>>,
}

impl LocalServices {
    pub(super) fn new(configured: Vec<ServiceConfig>, added: Vec<ServiceConfig>) -> Self {
        let (configured, added) = (by_name(configured), by_name(added));
        let effective = watch::Sender::new(Arc::new(merge(&configured, &added)));
        Self { configured, added, effective }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<ByName>> {
        self.effective.subscribe()
    }

    pub(super) fn get(&self, name: &ServiceName) -> Option<&ServiceConfig> {
        self.added.get(name).or_else(|| self.configured.get(name))
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        self.effective.borrow().values().map(ServiceConfig::target).collect()
    }

    fn apply(&mut self, configured: ByName, added: ByName) {
        self.effective.send_replace(Arc::new(merge(&configured, &added)));
        (self.configured, self.added) = (configured, added);
    }
}

fn by_name(services: Vec<ServiceConfig>) -> ByName {
    services.into_iter().map(|service| (service.name.clone(), service)).collect()
}

fn merge(configured: &ByName, added: &ByName) -> ByName {
    let mut merged = configured.clone();
    merged.extend(added.iter().map(|(name, service)| (name.clone(), service.clone())));
    merged
}

impl Node {
    pub(super) fn handle_command(&mut self, command: Command) {
        // Whoever asked may be gone by now; the change stands.
        match command {
            Command::Leave => self.begin_leave("asked over the admin API"),
            Command::Inquire(worker, answer) => {
                let _ = answer.send(self.mesh.inquiry(&worker, self.clock.now()));
            }
            Command::PutService(service, answer) => {
                let _ = answer.send(self.put_service(*service));
            }
            Command::DeleteService(name, answer) => {
                let _ = answer.send(self.delete_service(&name));
            }
        }
    }

    /// Takes over what a running node can of a configuration that was read again.
    pub(super) fn reload(&mut self, newer: Config) {
        self.proxy.reopen_access_log();
        let reload = self.config.reloadable(&newer);
        if reload.needs_restart {
            tracing::warn!("some settings changed that only a restart applies");
        }
        if let Some(services) = reload.services {
            let (configured, added) = (by_name(services), self.services.added.clone());
            match self.change_services(configured, added) {
                Ok(()) => {
                    tracing::info!("services reloaded");
                    self.config.services = newer.services;
                }
                Err(reason) => tracing::error!(reason, "services not reloaded"),
            }
        }
        if let Some(routes) = reload.routes {
            tracing::info!("routes reloaded");
            self.config.routes = newer.routes;
            self.feed(Input::Local(LocalChange::Routes(routes)));
        }
    }

    fn put_service(&mut self, service: ServiceConfig) -> Result<(), String> {
        let mut added = self.services.added.clone();
        added.insert(service.name.clone(), service);
        self.change_services(self.services.configured.clone(), added)
    }

    fn delete_service(&mut self, name: &ServiceName) -> Result<bool, String> {
        let mut added = self.services.added.clone();
        if added.remove(name).is_some() {
            return self.change_services(self.services.configured.clone(), added).map(|()| true);
        }
        if self.services.configured.contains_key(name) {
            return Err(format!("'{name}' is in this node's configuration; remove it there and send SIGHUP"));
        }
        Ok(false)
    }

    /// Checks, writes down, then applies; nothing changes when one of them fails.
    fn change_services(&mut self, configured: ByName, added: ByName) -> Result<(), String> {
        let merged = merge(&configured, &added);
        let targets: Vec<Target> = merged.values().map(ServiceConfig::target).collect();
        self.mesh.check_services(&targets).map_err(|error| format!("the services do not fit: {error}"))?;
        if added != self.services.added {
            let kept: Vec<ServiceConfig> = added.values().cloned().collect();
            let written = tokio::task::block_in_place(|| self.data_dir.write_services(&kept));
            written.map_err(|error| error.to_string())?;
        }
        self.services.apply(configured, added);
        self.feed(Input::Local(LocalChange::Services(targets)));
        Ok(())
    }
}
