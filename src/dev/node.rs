//! One real `meshnode run` process: started, awaited until it serves, signalled, and never left behind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::id::NodeId;
use crate::time::Duration;

/// From the start of the process until it says that it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// From SIGTERM until the process is gone; after that it is killed.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a log a message quotes.
const LOG_TAIL_LINES: usize = 15;

/// How a node process is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub exe: PathBuf,
    /// The arguments of `meshnode run`.
    pub args: Vec<OsString>,
    /// Added to the environment, which has no other `MESHNODE_` variable.
    pub env: Vec<(String, String)>,
    /// Where its standard error goes; appended to.
    pub log: PathBuf,
}

/// A running node process, killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    pid: Pid,
    log: PathBuf,
    ready: Ready,
    /// Kept open, so that the node never meets a closed standard output.
    _stdout: BufReader<ChildStdout>,
}

/// The line that a node prints once it serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// The node's identity.
    pub worker_id: NodeId,
    /// Membership and links, host:port.
    pub bind: String,
    /// URL of the listener for local callers.
    pub ingress: String,
    /// URL of the admin API.
    pub admin: String,
    /// URL of the listener for edges, when there is one.
    pub edge: Option<String>,
}

impl Launch {
    /// `meshnode run` with these arguments.
    pub fn new(exe: &Path, log: PathBuf, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { exe: exe.to_owned(), args: args.into_iter().map(Into::into).collect(), env: Vec::new(), log }
    }

    /// Starts the process, without waiting for anything.
    pub fn spawn(&self) -> anyhow::Result<Child> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot open {}", self.log.display()))?;
        let mut command = Command::new(&self.exe);
        for (name, _) in std::env::vars_os() {
            // What the caller has set for nodes of their own must not leak into this one.
            if name.to_string_lossy().starts_with("MESHNODE_") {
                command.env_remove(name);
            }
        }
        command
            .arg("run")
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        command.spawn().with_context(|| format!("cannot start {}", self.exe.display()))
    }
}

impl Node {
    /// Starts the process and waits until it serves.
    pub async fn start(launch: &Launch) -> anyhow::Result<Self> {
        let mut child = launch.spawn()?;
        let stdout = child.stdout.take().context("the node has no standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let tail = || log_tail(&launch.log);
        match tokio::time::timeout(READY_TIMEOUT, stdout.read_line(&mut line)).await {
            Err(_) => bail!("not ready within {} s\n{}", READY_TIMEOUT.as_secs(), tail()),
            Ok(Err(error)) => return Err(error).context("cannot read the node's standard output"),
            Ok(Ok(0)) => bail!("the node ended with {}\n{}", child.wait().await?, tail()),
            Ok(Ok(_)) => {}
        }
        let ready = serde_json::from_str(&line).with_context(|| format!("not a ready line: {line}"))?;
        let pid =
            child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("the node has ended")?;
        Ok(Self { child, pid, log: launch.log.clone(), ready, _stdout: stdout })
    }

    /// What it said when it began to serve.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Where its log goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Until the child is reaped, which only `wait` and `Drop` do, its pid belongs to nobody else.
        kill_process(self.pid, signal).with_context(|| format!("cannot signal {}", self.pid()))
    }

    /// SIGKILL: no goodbye, as in a crash.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill the node")
    }

    /// SIGTERM, then waits until it has left.
    pub async fn leave(self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Waits until it ends by itself; kills it when that takes too long.
    pub async fn ended(mut self) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(LEAVE_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.context("cannot wait for the node"),
            Err(_) => {
                self.child.kill().await?;
                bail!("still there {} s after it was told to leave", LEAVE_TIMEOUT.as_secs())
            }
        }
    }
}

/// The last lines of a log, for messages.
fn log_tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_TAIL_LINES);
    format!("{}:\n{}", log.display(), lines[from..].join("\n"))
}
