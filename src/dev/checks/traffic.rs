//! Continuous requests to one service, through every node but the one that is about to die.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::JOIN_DEADLINE;
use crate::dev::client::Client;
use crate::dev::mesh::LocalMesh;
use crate::dev::wait::eventually;
use crate::time::Duration;

/// Between two requests of one loop: continuous, yet far from what two busy cores can do.
const PACE: Duration = Duration::from_millis(20);
/// The body of each POST.
const BODY_BYTES: usize = 16 * 1024;

/// Requests that the node served before it may die.
const SHARE_MIN: u32 = 10;

/// The loops that send, and what became of their requests. Dropping it ends the loops.
#[derive(Debug)]
pub(super) struct Traffic {
    loops: JoinSet<()>,
    stop: CancellationToken,
    tally: Arc<Mutex<Tally>>,
    doomed: String,
}

#[derive(Debug, Default)]
struct Tally {
    gets: u32,
    posts: u32,
    /// Answers by the node that is killed, and those since the last of them.
    by_doomed: u32,
    since: u32,
    failures: Vec<String>,
}

impl Traffic {
    /// Starts one loop of GETs and one of POSTs at every running node but `doomed`.
    pub(super) fn start(mesh: &LocalMesh, service: &'static str, doomed: usize) -> Self {
        let (stop, tally) = (CancellationToken::new(), Arc::new(Mutex::new(Tally::default())));
        let mut loops = JoinSet::new();
        let doomed_id =
            mesh.members[doomed].ready().map(|ready| ready.worker_id.to_string()).unwrap_or_default();
        for entry in mesh.others(doomed) {
            let Ok(url) = mesh.members[entry].service_url(service, "files/traffic") else { continue };
            for method in [Method::GET, Method::POST] {
                let sender = Sender {
                    client: mesh.client.clone(),
                    method,
                    url: url.clone(),
                    doomed: doomed_id.clone(),
                    tally: Arc::clone(&tally),
                };
                loops.spawn(sender.run(stop.clone()));
            }
        }
        Self { loops, stop, tally, doomed: mesh.members[doomed].plan.name.clone() }
    }

    /// Waits until the node that is about to die serves its share.
    pub(super) async fn flows(&self) -> anyhow::Result<()> {
        let flows = async || {
            let served = self.tally.lock().unwrap_or_else(PoisonError::into_inner).by_doomed;
            ensure!(served >= SHARE_MIN, "{} served only {served} requests", self.doomed);
            Ok(())
        };
        eventually(JOIN_DEADLINE, flows).await?;
        Ok(())
    }

    /// Ends the loops, each after its current request, and says what became of them.
    pub(super) async fn lossless(mut self) -> anyhow::Result<String> {
        self.stop.cancel();
        while self.loops.join_next().await.is_some() {}
        let tally = std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner));
        let sent = tally.gets + tally.posts;
        if let Some(first) = tally.failures.first() {
            bail!("{} of {sent} requests failed, the first: {first}", tally.failures.len());
        }
        ensure!(tally.gets > 0 && tally.posts > 0, "only {sent} requests were sent");
        ensure!(tally.since > 0, "none was sent after the kill");
        Ok(format!(
            "{sent} sent ({} GET, {} POST of {BODY_BYTES} bytes), 0 failed; {} served {} before it died, others {} after",
            tally.gets, tally.posts, self.doomed, tally.by_doomed, tally.since
        ))
    }
}

/// One loop.
struct Sender {
    client: Client,
    method: Method,
    url: String,
    doomed: String,
    tally: Arc<Mutex<Tally>>,
}

impl Sender {
    async fn run(self, stop: CancellationToken) {
        let mut number = 0_u64;
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            pace.tick().await;
            number += 1;
            let outcome = self.request(number).await;
            self.count(outcome);
        }
    }

    /// One request; the worker that served it.
    async fn request(&self, number: u64) -> anyhow::Result<String> {
        let key = format!("\"{}-{number}\"", self.url);
        let post = self.method == Method::POST;
        // A POST that had reached a node when it died may be repeated only because this says that it may.
        let headers: &[(&str, &str)] = if post { &[("idempotency-key", &key)] } else { &[] };
        let body = if post { Bytes::from(vec![b'x'; BODY_BYTES]) } else { Bytes::new() };
        let bytes = body.len();
        let answer = self.client.send(self.method.clone(), &self.url, headers, body).await?;
        ensure!(
            answer.status == StatusCode::OK,
            "{} {}: {} {}",
            self.method,
            self.url,
            answer.status,
            answer.text()
        );
        let said: Value = answer.json()?;
        ensure!(said["bytes"] == bytes, "{bytes} bytes were sent, but the answer is {said}");
        Ok(answer.header("x-mesh-worker").to_owned())
    }

    fn count(&self, outcome: anyhow::Result<String>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *(if self.method == Method::POST { &mut tally.posts } else { &mut tally.gets }) += 1;
        match outcome.context("a request was lost") {
            Ok(worker) if worker == self.doomed => {
                tally.by_doomed += 1;
                tally.since = 0;
            }
            Ok(_) => tally.since += 1,
            Err(error) => tally.failures.push(format!("{error:#}")),
        }
    }
}
