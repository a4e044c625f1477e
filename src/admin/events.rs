//! `GET /api/admin/events`: server-sent events, from the journal, to a bounded number of readers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::sync::{Semaphore, broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::journal::{EventRecord, Journal};
use super::refusal::Refusal;

/// How many may follow at the same time.
const READERS: usize = 64;

/// Between two comments on a quiet stream, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the handler needs.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    journal: Arc<Journal>,
    seats: Arc<Semaphore>,
}

impl Feed {
    pub(super) fn of(journal: Arc<Journal>) -> Self {
        Self { journal, seats: Arc::new(Semaphore::new(READERS)) }
    }
}

/// Where a reader wants to begin.
#[derive(Debug, Deserialize)]
pub(super) struct Start {
    /// Events after this id come first, as far as they are kept; 0 is all.
    after: Option<u64>,
}

/// Answers with the events to come; before them those that a reconnecting reader missed.
pub(super) async fn follow(
    State(feed): State<Feed>,
    start: Result<Query<Start>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = after(start, &headers)?.unwrap_or_else(|| feed.journal.last_id());
    let Ok(seat) = feed.seats.try_acquire_owned() else {
        return Err(Refusal::unavailable(format!("{READERS} readers follow already")));
    };
    let (past, live) = feed.journal.follow(after);
    let events = stream(past, live).map(move |event| {
        let _seat = &seat;
        Ok::<_, Infallible>(event)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn after(start: Result<Query<Start>, QueryRejection>, headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    if let Some(last) = headers.get("last-event-id") {
        let id = last.to_str().ok().and_then(|id| id.parse().ok());
        return id.map(Some).ok_or_else(|| bad("header Last-Event-ID: expected the id of an event"));
    }
    let Query(start) = start.map_err(|_| bad("query after: expected the id of an event, or 0 for all"))?;
    Ok(start.after)
}

fn bad(error: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error)
}

fn stream(
    past: Vec<Arc<EventRecord>>,
    live: broadcast::Receiver<Arc<EventRecord>>,
) -> impl Stream<Item = Event> + Send {
    let live = BroadcastStream::new(live).map(|next| match next {
        Ok(record) => event(&record),
        Err(BroadcastStreamRecvError::Lagged(missed)) => lagged(missed),
    });
    stream::iter(past).map(|record| event(&record)).chain(live)
}

fn event(record: &EventRecord) -> Event {
    let data = serde_json::to_string(record).unwrap_or_default();
    Event::default().id(record.id.to_string()).event(record.what.kind()).data(data)
}

/// Tells a reader that was too slow how many events it missed.
fn lagged(missed: u64) -> Event {
    Event::default().event("lagged").data(format!(r#"{{"type":"lagged","missed":{missed}}}"#))
}
