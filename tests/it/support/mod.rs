//! A world of its own for each test: a directory, a cluster key, and nodes that never outlive the test.

mod command;
pub(crate) mod edge;
mod hosts;
mod kv;
mod peer;
pub(crate) mod tls;

pub(crate) use command::{Ended, meshnode};
pub(crate) use hosts::Hosts;
pub(crate) use kv::FakeKv;
pub(crate) use peer::{Peer, Setup};

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meshnode::dev::client::Client;
use meshnode::dev::wait;
use meshnode::entropy;
use tempfile::TempDir;

/// Until what needs no timer of the protocol has happened, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// Until a silent node is held dead, on a busy machine.
pub(crate) const DEATH: Duration = Duration::from_secs(40);

/// What the nodes of one test share. Its directory is kept, and named, unless the test passed.
#[derive(Debug)]
pub(crate) struct World {
    dir: TempDir,
    pub(crate) client: Client,
    passed: bool,
}

impl World {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("meshnode-it-").tempdir()?;
        let world = Self { dir, client: Client::new(), passed: false };
        world.write_key("cluster.key")?;
        Ok(world)
    }

    /// A path in the world's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into the world's directory.
    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// Writes a fresh cluster key.
    pub(crate) fn write_key(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.write(name, &format!("{}\n", STANDARD.encode(entropy::random::<32>())))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// A node of this world's cluster, not started yet.
    pub(crate) fn node(&self, name: &str) -> Setup<'_> {
        Setup::new(self, name)
    }

    /// The store that the nodes of this world share.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("summary.json")
    }

    /// The last word of a test: its directory may go.
    pub(crate) fn passed(mut self) -> anyhow::Result<()> {
        self.passed = true;
        Ok(())
    }

    fn exe() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_meshnode"))
    }
}

impl Drop for World {
    #[expect(clippy::print_stderr, reason = "the test's own output is where a failure is read")]
    fn drop(&mut self) {
        if !self.passed {
            self.dir.disable_cleanup(true);
            eprintln!("data and logs are kept in {}", self.dir.path().display());
        }
    }
}

/// Waits until `probe` succeeds; the error says why it did not.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    probe: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    wait::eventually(deadline, probe).await.map(|(seen, _)| seen)
}

/// Waits until these nodes are one mesh: each ready, each seeing exactly these alive, with one leader.
pub(crate) async fn one_mesh(peers: &[&Peer]) -> anyhow::Result<String> {
    let mut ids: Vec<&str> = peers.iter().map(|peer| peer.id()).collect();
    ids.sort_unstable();
    let formed = async || {
        let mut leaders = Vec::new();
        for peer in peers {
            ensure!(peer.admin.is_ready().await?, "{} is not ready", peer.name);
            ensure!(peer.alive().await? == ids, "{} sees {:?} alive", peer.name, peer.alive().await?);
            leaders.push(peer.admin.leader().await?.worker_id.map(|id| id.to_string()));
        }
        leaders.dedup();
        let [Some(leader)] = leaders.as_slice() else { bail!("the leaders are {leaders:?}") };
        Ok(leader.clone())
    };
    eventually(SOON, formed).await
}
