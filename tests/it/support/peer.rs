//! A node of a test: how it is started, and what is asked of it.

use std::time::Duration;

use anyhow::{Context, bail};
use meshnode::admin::model::{Instance, Worker};
use meshnode::dev::client::{Admin, Answer};
use meshnode::dev::node::{Launch, Node};
use meshnode::dev::services::Sample;
use meshnode::manifest::Health;
use meshnode::view::Status;
use rustix::process::Signal;

use super::{World, eventually};

/// A node that is not started yet.
#[derive(Debug, Clone)]
pub(crate) struct Setup<'a> {
    world: &'a World,
    name: String,
    key: String,
    bind: String,
    ingress: String,
    store: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    id: String,
    pub(crate) admin: Admin,
    pub(crate) node: Node,
    client: meshnode::dev::client::Client,
}

impl<'a> Setup<'a> {
    pub(super) fn new(world: &'a World, name: &str) -> Self {
        Self {
            world,
            name: name.to_owned(),
            key: "cluster.key".to_owned(),
            bind: "127.0.0.1:0".to_owned(),
            ingress: "127.0.0.1:0".to_owned(),
            store: Some(format!("file:{}", world.store().display())),
            // Without a service too, so that a test may count on a leader.
            args: vec!["--leader-eligible".to_owned()],
            env: Vec::new(),
        }
    }

    pub(crate) fn join(self, peer: &Peer) -> Self {
        let bind = peer.node.ready().bind.clone();
        self.arg("--join", &bind)
    }

    pub(crate) fn service(self, sample: &Sample) -> Self {
        let service = format!("{}={}", sample.kind().name(), sample.url());
        self.arg("--service", &service)
    }

    pub(crate) fn key(mut self, name: &str) -> Self {
        name.clone_into(&mut self.key);
        self
    }

    pub(crate) fn bind(mut self, addr: &str) -> Self {
        addr.clone_into(&mut self.bind);
        self
    }

    pub(crate) fn ingress(mut self, addr: &str) -> Self {
        addr.clone_into(&mut self.ingress);
        self
    }

    pub(crate) fn store(mut self, store: &str) -> Self {
        self.store = Some(store.to_owned());
        self
    }

    pub(crate) fn arg(mut self, flag: &str, value: &str) -> Self {
        self.args.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The process to start; for tests of nodes that never serve.
    pub(crate) fn launch(&self) -> Launch {
        let path = |name: &str| self.world.path(name).display().to_string();
        let mut args: Vec<String> = [
            ("--name", self.name.clone()),
            ("--data-dir", path(&self.name)),
            ("--cluster", "it".to_owned()),
            ("--cluster-key-file", path(&self.key)),
            ("--bind", self.bind.clone()),
            ("--ingress", self.ingress.clone()),
            ("--admin", "127.0.0.1:0".to_owned()),
            ("--election-hold", "1s".to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        if let Some(store) = &self.store {
            args.extend(["--store".to_owned(), store.clone()]);
        }
        args.extend(self.args.iter().cloned());
        let mut launch = Launch::new(World::exe(), self.log(), args);
        launch.env.clone_from(&self.env);
        launch
    }

    /// Where the node's log goes.
    pub(crate) fn log(&self) -> std::path::PathBuf {
        self.world.path(&format!("{}.log", self.name))
    }

    /// Starts the process and waits until it serves.
    pub(crate) async fn start(&self) -> anyhow::Result<Peer> {
        let node = Node::start(&self.launch()).await.with_context(|| format!("starting {}", self.name))?;
        let client = self.world.client.clone();
        let admin = Admin::new(client.clone(), &node.ready().admin);
        let id = node.ready().worker_id.to_string();
        Ok(Peer { name: self.name.clone(), id, admin, node, client })
    }
}

impl Peer {
    /// Its identity.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The identities that it holds alive, in order.
    pub(crate) async fn alive(&self) -> anyhow::Result<Vec<String>> {
        let workers = self.admin.workers().await?;
        let alive = workers.into_iter().filter(|worker| worker.status == Status::Alive);
        let mut ids: Vec<String> = alive.map(|worker| worker.worker_id.to_string()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What it says of a worker.
    pub(crate) async fn worker(&self, id: &str) -> anyhow::Result<Worker> {
        let workers = self.admin.workers().await?;
        let name = &self.name;
        workers
            .into_iter()
            .find(|it| it.worker_id.to_string() == id)
            .with_context(|| format!("{name} does not know {id}"))
    }

    /// The instances of a service that it lists.
    pub(crate) async fn instances(&self, service: &str) -> anyhow::Result<Vec<Instance>> {
        Ok(self.admin.services().await?.remove(service).map(|it| it.workers).unwrap_or_default())
    }

    /// Waits until it lists exactly so many healthy instances of a service.
    pub(crate) async fn sees_healthy(
        &self,
        service: &str,
        count: usize,
        deadline: Duration,
    ) -> anyhow::Result<()> {
        let seen = async || {
            let instances = self.instances(service).await?;
            let healthy = instances.iter().filter(|it| it.health == Health::Healthy).count();
            if healthy != count || instances.len() != count {
                bail!("{} lists {service} as {instances:?}, not {count} healthy", self.name);
            }
            Ok(())
        };
        eventually(deadline, seen).await
    }

    /// The URL at which its ingress offers a service.
    pub(crate) fn url(&self, service: &str, path: &str) -> String {
        format!("{}/api/service/{service}/{path}", self.node.ready().ingress)
    }

    /// A client like that which asks it.
    pub(crate) fn client(&self) -> meshnode::dev::client::Client {
        self.client.clone()
    }

    /// One GET through its ingress.
    pub(crate) async fn get(&self, service: &str, path: &str) -> anyhow::Result<Answer> {
        self.client.get(&self.url(service, path)).await
    }

    /// The sum of a metric over all its labels that contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        let answer = self.client.get(&format!("{}/metrics", self.node.ready().admin)).await?;
        let text = String::from_utf8(answer.body.to_vec())?;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// SIGKILL.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.node.kill().await
    }

    /// SIGHUP.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        self.node.signal(Signal::HUP)
    }
}
