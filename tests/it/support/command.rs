//! One run of the `meshnode` program that ends by itself.

use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

/// For one run.
const DEADLINE: Duration = Duration::from_secs(20);

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `meshnode` with these arguments and nothing of ours in the environment but `env`.
pub(crate) async fn meshnode(args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Ended> {
    let mut command = Command::new(super::World::exe());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MESHNODE_") {
            command.env_remove(name);
        }
    }
    let output = command.args(args).envs(env.iter().copied()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(DEADLINE, output).await.with_context(|| format!("{args:?} did not end"))??;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
