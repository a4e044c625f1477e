//! `meshnode events`: follows the node's events, one line each.

mod sse;
#[cfg(test)]
mod tests;

use std::io::Write;

use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::client::Client;
use super::table::{or_dash, printable};
use sse::Decoder;

/// Prints what happens until Ctrl-C; fails when the node ends the stream.
pub(super) async fn follow(client: &Client, json: bool, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    tokio::select! {
        followed = print_events(client, json, out) => followed,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

async fn print_events(client: &Client, json: bool, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let mut body = client.stream(&["events"]).await?;
    let mut decoder = Decoder::default();
    while let Some(frame) = body.frame().await {
        // A node that goes away ends the stream in the middle of it.
        let Ok(frame) = frame else { break };
        let Ok(bytes) = frame.into_data() else { continue };
        for data in decoder.push(&bytes).map_err(|error| client.broken_off(&error))? {
            writeln!(out, "{}", if json { data } else { line(&data) })?;
        }
        out.flush()?;
    }
    Err(client.broken_off(&std::io::Error::other("the node ended the stream")).into())
}

/// One event for humans. Kinds and fields of other releases are shown too.
fn line(data: &str) -> String {
    let Ok(Value::Object(mut event)) = serde_json::from_str(data) else { return printable(data) };
    let at = take(&mut event, "at");
    let kind = take(&mut event, "type");
    event.remove("id");
    let name = take(&mut event, "name");
    let id = take(&mut event, "worker_id");
    let who = if name.is_empty() { id } else { name };
    let rest: Vec<_> = event
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    let line = format!("{:<24}  {kind:<10}  {:<16}  {}", or_dash(&at), or_dash(&who), rest.join(" "));
    printable(line.trim_end())
}

fn take(event: &mut Map<String, Value>, key: &str) -> String {
    event.remove(key).map(|value| text(&value)).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
