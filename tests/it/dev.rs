//! `meshnode dev` keeps what it promises.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

/// What `--for 30s` claims, in its own words.
const CLAIMS: [&str; 8] = [
    "one leader on which all nodes agree",
    "a request at each node reaches a service elsewhere",
    "the node of rag is killed and the others drop it",
    "rag then answers 503 with what is available",
    "upload lost no request meanwhile",
    "the restarted node is the same worker",
    "a node that leaves is gone within 1 s",
    "the store holds one true summary",
];

#[tokio::test]
async fn dev_checks_all_its_claims_within_30_s() -> anyhow::Result<()> {
    let child = Command::new(env!("CARGO_BIN_EXE_meshnode"))
        .args(["dev", "--for", "30s"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = tokio::time::timeout(Duration::from_secs(40), child.wait_with_output());
    let output = output.await.context("it did not end by itself")??;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for claim in CLAIMS {
        let verdict = stdout.lines().find(|line| line.contains(claim));
        let passed = verdict.is_some_and(|line| line.starts_with("ok "));
        assert!(passed, "{claim}: {verdict:?}\n{stdout}\n{stderr}");
    }
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    Ok(())
}
