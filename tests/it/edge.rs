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
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::client::TlsStream;

use crate::support::tls::{Authority, get};
use crate::support::{Peer, SOON, World, eventually, one_mesh};

/// A running `meshedge`, and where it serves.
struct Edge {
    child: Child,
    url: String,
}

impl Edge {
    async fn start(world: &World, more: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(world, more, &[]).await
    }

    async fn start_with(world: &World, more: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let log = std::fs::File::create(world.path("meshedge.log"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshedge"))
            .args(["--listen", "127.0.0.1:0", "--cluster", "it", "--log", "debug"])
            .arg("--edge-secret-file")
            .arg(world.path("edge.secret"))
            .args(more)
            .envs(env.iter().copied())
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

    async fn connect(&self, authority: &Authority, protocol: &str) -> anyhow::Result<TlsStream<TcpStream>> {
        let addr = self.url.strip_prefix("https://").with_context(|| self.url.clone())?;
        authority.connect(addr.parse()?, &[protocol]).await
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

#[tokio::test]
async fn an_edge_speaks_tls_with_its_clients_and_with_nodes_that_it_trusts() -> anyhow::Result<()> {
    let world = World::new()?;
    for name in ["nodes.secret", "edge.secret"] {
        world.write(name, &secret("k", b"0123456789abcdef"))?;
    }
    let authority = Authority::new()?;
    let ca = authority.write(&world)?.display().to_string();
    authority.write_server(&world)?;
    let path = |name: &str| world.path(name).display().to_string();
    let (cert, key, secrets) = (path("server.pem"), path("server.key"), path("nodes.secret"));
    let sample = Sample::start(Kind::Echo, "n1", "1").await?;
    let setup = world.node("n1").arg("--edge-listen", "127.0.0.1:0").arg("--edge-secret-file", &secrets);
    let n1 = setup.arg("--tls-cert", &cert).arg("--tls-key", &key).service(&sample).start().await?;
    n1.sees_healthy("echo", 1, SOON).await?;
    let seed = n1.node.ready().edge.clone().context("no edge listener")?;
    let flags =
        ["--store", "file:/nowhere/summary.json", "--seed", &seed, "--tls-cert", &cert, "--tls-key", &key];

    let wary = Edge::start(&world, &flags).await?;
    let answer = get(wary.connect(&authority, "http/1.1").await?, "/api/service/echo/").await?;
    ensure!(answer.status() == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    ensure!(
        answer.headers()["x-mesh-error"] == "no_node" && answer.headers()["x-mesh-retry"] == "1",
        "{answer:?}"
    );
    let log = std::fs::read_to_string(world.path("meshedge.log"))?;
    ensure!(log.contains("invalid peer certificate: UnknownIssuer"), "the log does not say why");
    drop(wary);

    let edge = Edge::start_with(&world, &flags, &[("SSL_CERT_FILE", &ca)]).await?;
    for protocol in ["h2", "http/1.1"] {
        let answer = get(edge.connect(&authority, protocol).await?, "/api/service/echo/").await?;
        ensure!(answer.status() == StatusCode::OK, "{protocol}: {answer:?}");
        let seen: Value = serde_json::from_slice(answer.body())?;
        ensure!(seen["headers"]["x-forwarded-proto"] == "https", "{seen}");
    }
    let renewed = authority.write_server(&world)?;
    edge.signal(Signal::HUP)?;
    let is_shown = async || {
        let stream = edge.connect(&authority, "h2").await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        ensure!(shown.as_ref() == Some(&renewed), "the old certificate is shown");
        Ok(())
    };
    eventually(SOON, is_shown).await?;
    world.passed()
}
