//! Hosts of a test: network namespaces on one bridge, nameless, so that they are gone when the test is.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use meshnode::admin::model::{Services, Worker};
use meshnode::dev::node::Node;
use meshnode::manifest::Health;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::World;

/// A bridge, and hosts with one port on it each.
#[derive(Debug)]
pub(crate) struct Hosts {
    bridge: Namespace,
    hosts: Vec<Namespace>,
}

/// A process that does nothing but keep a namespace.
#[derive(Debug)]
struct Namespace {
    keeper: Child,
    pid: u32,
}

impl Hosts {
    /// So many hosts; none where namespaces may not be made, or the programs for that are missing.
    pub(crate) async fn new(count: usize) -> anyhow::Result<Option<Self>> {
        let may = run(&words("unshare --user --map-root-user --net ip -V")).await.is_ok();
        if !may {
            return Ok(None);
        }
        let bridge = Namespace::new(&words("unshare --user --map-root-user --net")).await?;
        bridge.run(&words("ip link add br0 type bridge")).await?;
        bridge.run(&words("ip link set br0 up")).await?;
        let mut hosts = Vec::new();
        for index in 0..count {
            let host = Namespace::new(&[bridge.entrance(), words("unshare --net")].concat()).await?;
            let pid = host.pid;
            let port = format!("ip link add p{index} type veth peer name eth0 netns {pid}");
            bridge.run(&words(&port)).await?;
            bridge.run(&words(&format!("ip link set p{index} master br0 up"))).await?;
            host.run(&words("ip link set lo up")).await?;
            host.run(&words(&format!("ip addr add {}/24 dev eth0", address(index)))).await?;
            host.run(&words("ip link set eth0 up")).await?;
            hosts.push(host);
        }
        Ok(Some(Self { bridge, hosts }))
    }

    /// Starts a node on a host; it joins by the first host, unless it is there itself.
    pub(crate) async fn start(&self, world: &World, index: usize) -> anyhow::Result<Node> {
        self.start_with(world, index, &[]).await
    }

    /// The same, with further arguments.
    pub(crate) async fn start_with(
        &self,
        world: &World,
        index: usize,
        args: &[&str],
    ) -> anyhow::Result<Node> {
        let name = format!("h{index}");
        let mut setup = world.node(&name).bind(&bind(index));
        if index > 0 {
            setup = setup.arg("--join", &bind(0));
        }
        let mut launch = setup.launch();
        launch.args.extend(args.iter().map(Into::into));
        launch.exe = self.program(world, index)?;
        Node::start(&launch).await.with_context(|| format!("starting {name}"))
    }

    /// What the node of a host says of all workers, asked there by `meshnode members`.
    pub(crate) async fn workers(&self, index: usize, node: &Node) -> anyhow::Result<Vec<Worker>> {
        let exe = World::exe().display().to_string();
        let command = [exe, "members".into(), "--json".into(), "--admin".into(), node.ready().admin.clone()];
        Ok(serde_json::from_str(&self.hosts[index].run(&command).await?)?)
    }

    /// Starts a service on port 8000 of a host's loopback; it serves `/health` until it is dropped.
    pub(crate) async fn serve(&self, world: &World, index: usize) -> anyhow::Result<Child> {
        world.write("health", "fine")?;
        let directory = world.path("").display().to_string();
        let server = words("python3 -m http.server 8000 --bind 127.0.0.1 --directory");
        let mut command = command(&[self.hosts[index].entrance(), server, vec![directory]].concat());
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// How many instances of a service a host's node lists as healthy.
    pub(crate) async fn healthy(&self, index: usize, node: &Node, service: &str) -> anyhow::Result<usize> {
        let exe = World::exe().display().to_string();
        let command = [exe, "services".into(), "--json".into(), "--admin".into(), node.ready().admin.clone()];
        let services: Services = serde_json::from_str(&self.hosts[index].run(&command).await?)?;
        let workers = services.get(service).map(|it| it.workers.as_slice()).unwrap_or_default();
        Ok(workers.iter().filter(|it| it.health == Health::Healthy).count())
    }

    /// So many GETs from a host, forty a second, one after the other: their statuses, and how many seconds they took.
    pub(crate) async fn ask(&self, index: usize, url: &str, count: usize) -> anyhow::Result<Vec<(u16, f64)>> {
        let asks = format!(
            "curl --silent --rate 40/s --max-time 10 --output /dev/null {url}?[1-{count}] --write-out"
        );
        let told = [words(&asks), vec!["%{http_code} %{time_total}\n".to_owned()]].concat();
        let told = self.hosts[index].run(&told).await?;
        let lines = told.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(status, took)| Ok((status.parse()?, took.parse()?))).collect()
    }

    /// Neither sends nor gets anything from now on; nobody is told.
    pub(crate) async fn silence(&self, index: usize) -> anyhow::Result<()> {
        self.bridge.run(&words(&format!("ip link set p{index} nomaster"))).await.map(drop)
    }

    /// Is on the network again.
    pub(crate) async fn unsilence(&self, index: usize) -> anyhow::Result<()> {
        self.bridge.run(&words(&format!("ip link set p{index} master br0"))).await.map(drop)
    }

    /// `meshnode`, on a host.
    fn program(&self, world: &World, index: usize) -> anyhow::Result<PathBuf> {
        let entrance = self.hosts[index].entrance().join(" ");
        let script = format!("#!/bin/sh\nexec {entrance} {} \"$@\"\n", World::exe().display());
        let path = world.write(&format!("meshnode-on-h{index}"), &script)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        Ok(path)
    }
}

impl Namespace {
    async fn new(unshare: &[String]) -> anyhow::Result<Self> {
        let mut command = command(&[unshare, &["cat".to_owned()]].concat());
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // It echoes, so it is past `unshare`.
        keeper.stdin.as_mut().context("no standard input")?.write_all(b"\n").await?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("no standard output")?).read_line(&mut line).await?;
        ensure!(line == "\n", "{unshare:?} made no namespace");
        let pid = keeper.id().context("the keeper of a namespace has ended")?;
        Ok(Self { keeper, pid })
    }

    /// The command that runs another one in it.
    fn entrance(&self) -> Vec<String> {
        words(&format!("nsenter --target {} --user --preserve-credentials --net", self.pid))
    }

    async fn run(&self, command: &[String]) -> anyhow::Result<String> {
        ensure!(self.keeper.id().is_some(), "the namespace is gone");
        run(&[&self.entrance(), command].concat()).await
    }
}

fn address(index: usize) -> String {
    format!("10.99.0.{}", index + 1)
}

fn bind(index: usize) -> String {
    format!("{}:7946", address(index))
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).kill_on_drop(true);
    command
}

/// Runs a command, and gives what it prints.
async fn run(words: &[String]) -> anyhow::Result<String> {
    let output = command(words).output().await.with_context(|| format!("{words:?}"))?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
