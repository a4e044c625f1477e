//! `meshedge` in front of real nodes: from the summary that the leader wrote to the service, past a death, to its end.

use std::net::TcpListener;
use std::process::Stdio;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use meshnode::dev::services::{Kind, Sample};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Peer, SOON, World, eventually, one_mesh};

/// A running `meshedge`, and where it serves.
struct Edge {
    child: Child,
    url: String,
}

impl Edge {
    async fn start(world: &World, more: &[&str]) -> anyhow::Result<Self> {
        let log = std::fs::File::create(world.path("meshedge.log"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshedge"))
            .args(["--listen", "127.0.0.1:0", "--cluster", "it", "--log", "debug"])
            .arg("--edge-secret-file")
            .arg(world.path("edge.secret"))
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let line = tokio::time::timeout(SOON, lines.next_line()).await??.context("it ended")?;
        let ready: Value = serde_json::from_str(&line)?;
        ensure!(ready["ready"] == true, "{line}");
        let url = ready["listen"].as_str().with_context(|| line.clone())?.to_owned();
        Ok(Self { child, url })
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("it has ended")?;
        Ok(kill_process(id, signal)?)
    }

    async fn ended(mut self) -> anyhow::Result<Option<i32>> {
        self.signal(Signal::TERM)?;
        Ok(tokio::time::timeout(SOON, self.child.wait()).await??.code())
    }
}

/// A secret's line in a file of them.
fn secret(kid: &str, bytes: &[u8]) -> String {
    format!("{kid}:{}\n", STANDARD.encode(bytes))
}

/// A node whose edge listener others know by its public URL.
async fn node(world: &World, name: &str, first: Option<&Peer>, sample: &Sample) -> anyhow::Result<Peer> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let secrets = world.path("nodes.secret").display().to_string();
    let setup = world
        .node(name)
        .arg("--edge-listen", &format!("127.0.0.1:{free}"))
        .arg("--edge-secret-file", &secrets)
        .arg("--public-url", &format!("http://localhost:{free}"))
        .service(sample);
    first.map_or(setup.clone(), |first| setup.join(first)).start().await
}

#[tokio::test]
async fn an_edge_finds_the_nodes_by_their_summary_and_survives_a_death() -> anyhow::Result<()> {
    let world = World::new()?;
    world.write("nodes.secret", &secret("k", b"0123456789abcdef"))?;
    world.write("edge.secret", &secret("k", b"0123456789abcdef"))?;
    let samples = [Sample::start(Kind::Echo, "n1", "1").await?, Sample::start(Kind::Echo, "n2", "1").await?];
    let n1 = node(&world, "n1", None, &samples[0]).await?;
    let n2 = node(&world, "n2", Some(&n1), &samples[1]).await?;
    one_mesh(&[&n1, &n2]).await?;
    n2.sees_healthy("echo", 2, SOON).await?;
    let written = async || {
        let summary = std::fs::read_to_string(world.store())?;
        ensure!(summary.matches("http://localhost:").count() == 2, "{summary}");
        Ok(())
    };
    eventually(SOON, written).await?;

    let edge = Edge::start(&world, &["--store", &format!("file:{}", world.store().display())]).await?;
    let url = format!("{}/api/service/echo/a%20b?c=d", edge.url);
    let headers =
        [("host", "public.example"), ("x-forwarded-for", "203.0.113.9"), ("x-mesh-worker", n2.id())];
    let answer = world.client.send(Method::POST, &url, &headers, "text").await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    ensure!((answer.header("x-mesh-worker"), answer.header("x-mesh-tries")) == (n2.id(), "1"), "{answer:?}");
    let seen: Value = answer.json()?;
    ensure!(seen["headers"]["x-forwarded-host"] == "public.example", "{seen}");
    ensure!(seen["headers"]["x-forwarded-for"] == "127.0.0.1", "{seen}");

    n1.kill().await?;
    for method in [Method::GET, Method::POST, Method::GET, Method::POST] {
        let answered = async || {
            let answer = world.client.send(method.clone(), &url, &[], "").await?;
            ensure!(answer.status == StatusCode::OK, "{answer:?}");
            Ok(())
        };
        eventually(SOON, answered).await?;
    }
    ensure!(edge.ended().await? == Some(0));
    world.passed()
}

#[tokio::test]
async fn an_edge_with_a_seed_signs_with_another_secret_after_sighup() -> anyhow::Result<()> {
    let world = World::new()?;
    world.write("nodes.secret", &secret("new", b"fedcba9876543210"))?;
    world.write("edge.secret", &secret("old", b"0123456789abcdef"))?;
    let sample = Sample::start(Kind::Echo, "n1", "1").await?;
    let secrets = world.path("nodes.secret").display().to_string();
    let setup = world.node("n1").arg("--edge-listen", "127.0.0.1:0").arg("--edge-secret-file", &secrets);
    let n1 = setup.service(&sample).start().await?;
    n1.sees_healthy("echo", 1, SOON).await?;
    let seed = n1.node.ready().edge.clone().context("no edge listener")?;

    let edge = Edge::start(&world, &["--store", "file:/nowhere/summary.json", "--seed", &seed]).await?;
    let services = format!("{}/api/services", edge.url);
    let refused = world.client.get(&services).await?;
    ensure!(refused.status == StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    ensure!(refused.header("x-mesh-error") == "edge_signature", "{refused:?}");
    world.write("edge.secret", &secret("new", b"fedcba9876543210"))?;
    edge.signal(Signal::HUP)?;
    let believed = async || {
        let answer = world.client.get(&services).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        Ok(())
    };
    eventually(SOON, believed).await?;
    ensure!(edge.ended().await? == Some(0));
    world.passed()
}
