//! The mesh on this machine: its nodes, their sample services, and the directory that they share.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::{Admin, Client};
use super::node::{Launch, Node, Ready};
use super::plan::{NodePlan, plan};
use super::services::Sample;
use crate::admin::model::Worker;
use crate::id::NodeId;
use crate::time::Duration;
use crate::view::Status;
use crate::{clock, entropy};

/// The name of the cluster.
pub(super) const CLUSTER: &str = "dev";

/// The nodes of one mesh, running or not.
#[derive(Debug)]
pub(super) struct LocalMesh {
    exe: PathBuf,
    dir: PathBuf,
    /// Wall clock of the start: no summary of this mesh is older.
    pub(super) started: Duration,
    pub(super) client: Client,
    pub(super) members: Vec<Member>,
}

/// One node: what it is to run, and its process while that runs.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) plan: NodePlan,
    /// They live in this process and outlive their node, so that what a check sees is the node's own doing.
    pub(super) services: Vec<Sample>,
    node: Option<Node>,
    /// What it said when it last began to serve.
    pub(super) ready: Option<Ready>,
}

impl LocalMesh {
    /// Prepares the directory and the sample services; starts no node yet.
    pub(super) async fn prepare(exe: PathBuf, nodes: usize) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("meshnode-dev-{}", std::process::id()));
        let private = || DirBuilder::new().mode(0o700).create(&dir);
        private().with_context(|| format!("cannot create {}", dir.display()))?;
        let key = format!("{}\n", STANDARD.encode(entropy::random::<32>()));
        std::fs::write(dir.join("cluster.key"), key).context("cannot write the cluster key")?;
        let mut members = Vec::new();
        for plan in plan(nodes) {
            let mut services = Vec::new();
            for service in &plan.services {
                services.push(Sample::start(service.kind, &plan.name, service.version).await?);
            }
            members.push(Member { plan, services, node: None, ready: None });
        }
        Ok(Self { exe, dir, started: clock::unix_now(), client: Client::new(), members })
    }

    /// Where the nodes keep their data and their logs.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The summary that all nodes share.
    pub(super) fn store(&self) -> PathBuf {
        self.dir.join("summary.json")
    }

    /// Starts the first node alone, then all others at the same time.
    pub(super) async fn start_all(&mut self) -> anyhow::Result<()> {
        self.start(0).await?;
        let launches =
            (1..self.members.len()).map(|index| self.launch(index)).collect::<anyhow::Result<Vec<_>>>()?;
        let nodes = futures_util::future::join_all(launches.iter().map(Node::start)).await;
        for (member, node) in self.members[1..].iter_mut().zip(nodes) {
            member.adopt(node?);
        }
        Ok(())
    }

    /// Starts one node (again) and waits until it says that it serves.
    pub(super) async fn start(&mut self, index: usize) -> anyhow::Result<()> {
        let node = Node::start(&self.launch(index)?).await?;
        self.members[index].adopt(node);
        Ok(())
    }

    /// SIGKILL.
    pub(super) async fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        self.members[index].node.take().context("the node does not run")?.kill().await
    }

    /// SIGTERM; the returned future waits until the process has ended.
    pub(super) fn terminate(
        &mut self,
        index: usize,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<ExitStatus>> + use<>> {
        let node = self.members[index].node.take().context("the node does not run")?;
        Ok(node.leave())
    }

    /// Ends all nodes, each with SIGTERM, all at the same time.
    pub(super) async fn stop(&mut self) {
        let leaving = self.members.iter_mut().filter_map(|member| member.node.take()).map(Node::leave);
        for outcome in futures_util::future::join_all(leaving).await {
            match outcome {
                Ok(status) if status.success() => {}
                Ok(status) => tracing::warn!(%status, "a node did not end well"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "a node had to be killed"),
            }
        }
    }

    /// Removes the directory with data and logs.
    pub(super) fn remove_dir(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "cannot remove the directory");
        }
    }

    /// The indices of the nodes that run.
    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|&index| self.members[index].node.is_some()).collect()
    }

    /// The running nodes but this one.
    pub(super) fn others(&self, index: usize) -> Vec<usize> {
        self.running().into_iter().filter(|&other| other != index).collect()
    }

    /// The node that plays the GPU worker.
    pub(super) fn gpu(&self) -> usize {
        self.members.len() - 1
    }

    /// The admin API of a node.
    pub(super) fn admin(&self, index: usize) -> anyhow::Result<Admin> {
        Ok(Admin::new(self.client.clone(), &self.members[index].ready()?.admin))
    }

    /// The name of the node with this identity; the identity when it is none of these.
    pub(super) fn name_of(&self, worker_id: NodeId) -> String {
        let is = |member: &&Member| member.ready.as_ref().is_some_and(|ready| ready.worker_id == worker_id);
        self.members.iter().find(is).map_or_else(|| worker_id.to_string(), |member| member.plan.name.clone())
    }

    fn launch(&self, index: usize) -> anyhow::Result<Launch> {
        let plan = &self.members[index].plan;
        let path = |name: &str| self.dir.join(name).display().to_string();
        let mut args: Vec<String> = [
            ("--name", plan.name.clone()),
            ("--zone", plan.zone.clone()),
            ("--data-dir", path(&plan.name)),
            ("--cluster", CLUSTER.to_owned()),
            ("--cluster-key-file", path("cluster.key")),
            ("--bind", "127.0.0.1:0".to_owned()),
            ("--ingress", "127.0.0.1:0".to_owned()),
            ("--admin", "127.0.0.1:0".to_owned()),
            ("--election-hold", "1s".to_owned()),
            ("--store", format!("file:{}", self.store().display())),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
        if let Some(tier) = plan.tier {
            args.extend(["--tier".to_owned(), tier.to_string()]);
        }
        for sample in &self.members[index].services {
            args.extend(["--service".to_owned(), format!("{}={}", sample.kind().name(), sample.url())]);
        }
        if let Some(&seed) = self.others(index).first() {
            args.extend(["--join".to_owned(), self.members[seed].ready()?.bind.clone()]);
        }
        Ok(Launch::new(&self.exe, self.dir.join(format!("{}.log", plan.name)), args))
    }

    /// Succeeds when the running nodes are one mesh: each is ready, sees exactly the running ones alive, knows
    /// the same leader, and sees every service healthy.
    pub(super) async fn is_formed(&self) -> anyhow::Result<Formed> {
        let mut formed: Option<Formed> = None;
        for index in self.running() {
            let name = &self.members[index].plan.name;
            let seen = self.seen_by(index).await.with_context(|| format!("at {name}"))?;
            match &formed {
                Some(first) => ensure!(
                    first.leader == seen.leader,
                    "{name} has the leader {}, but the first node {}",
                    self.name_of(seen.leader),
                    self.name_of(first.leader)
                ),
                None => formed = Some(seen),
            }
        }
        formed.context("no node runs")
    }

    async fn seen_by(&self, index: usize) -> anyhow::Result<Formed> {
        let admin = self.admin(index)?;
        ensure!(admin.is_ready().await?, "not ready");
        let workers = admin.workers().await?;
        let alive = workers.iter().filter(|worker| worker.status == Status::Alive);
        let mut alive: Vec<NodeId> = alive.map(|worker| worker.worker_id).collect();
        alive.sort_unstable();
        let running = self.running_ids()?;
        ensure!(alive == running, "{} of {} nodes are alive", alive.len(), running.len());
        let leader = admin.leader().await?;
        let term = leader.term;
        let leader = leader.worker_id.context("no leader yet")?;
        let services = admin.services().await?;
        for member in self.running().into_iter().map(|index| &self.members[index]) {
            for sample in &member.services {
                let (service, id) = (sample.kind().name(), member.ready()?.worker_id);
                let instances = services.get(service).map(|service| service.workers.as_slice());
                let instance = instances.unwrap_or_default().iter().find(|it| it.worker_id == id);
                let health = instance.map_or("not known", |instance| instance.health.as_str());
                ensure!(health == "healthy", "{service} on {} is {health}", member.plan.name);
            }
        }
        Ok(Formed { leader, term, workers })
    }

    /// The identities of the running nodes, in order.
    pub(super) fn running_ids(&self) -> anyhow::Result<Vec<NodeId>> {
        let members = self.running().into_iter().map(|index| &self.members[index]);
        let mut ids =
            members.map(|member| Ok(member.ready()?.worker_id)).collect::<anyhow::Result<Vec<_>>>()?;
        ids.sort_unstable();
        Ok(ids)
    }
}

/// What the nodes of one mesh agree on.
#[derive(Debug)]
pub(super) struct Formed {
    /// The leader's identity.
    pub(super) leader: NodeId,
    /// Its term.
    pub(super) term: u64,
    /// All members, as the first node sees them.
    pub(super) workers: Vec<Worker>,
}

impl Member {
    fn adopt(&mut self, node: Node) {
        self.ready = Some(node.ready().clone());
        self.node = Some(node);
    }

    /// What it said when it last began to serve.
    pub(super) fn ready(&self) -> anyhow::Result<&Ready> {
        self.ready.as_ref().with_context(|| format!("{} never served", self.plan.name))
    }

    /// The URL at which its ingress offers a service.
    pub(super) fn service_url(&self, service: &str, path: &str) -> anyhow::Result<String> {
        Ok(format!("{}/api/service/{service}/{path}", self.ready()?.ingress))
    }

    /// Whether it is to run this service.
    pub(super) fn runs(&self, service: &str) -> bool {
        self.plan.services.iter().any(|planned| planned.kind.name() == service)
    }
}
