//! The routers: which request is answered by what.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::events::{self, Feed};
use super::journal::WorkerRef;
use super::model::{Leader, Leaving, Services, Why, Worker};
use super::moment::Moment;
use super::refusal::Refusal;
use super::why::{self, WorkerError};
use super::{Command, State, guard, local, report};
use crate::id::NodeId;
use crate::mesh::Inquiry;
use crate::view::View;

/// How long the node may take until it begins with a change.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the node may take to say what it waits for.
const INQUIRY_TIMEOUT: Duration = Duration::from_millis(500);

/// What `GET /metrics` answers with: OpenMetrics, which Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The admin API, guarded.
pub fn router(state: State) -> Router {
    let own = state.addr.ip();
    let token = Arc::new(state.token.clone());
    let state = Arc::new(state);
    let events = Router::new()
        .route("/api/admin/events", get(events::follow))
        .with_state(Feed::of(Arc::clone(&state.journal)));
    let api = Router::new()
        .route("/api/admin/workers", get(workers))
        .route("/api/admin/services", get(services))
        .route("/api/admin/leader", get(leader))
        .route("/api/admin/why/{worker}", get(why))
        .route("/api/admin/local/services", get(local::list))
        .route("/api/admin/local/services/{name}", get(local::show).put(local::put).delete(local::delete))
        .route("/api/admin/leave", post(leave))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(&state))
        .merge(events)
        .fallback(nothing_here)
        .layer(from_fn_with_state(token, guard::authorized));
    api.merge(health(state))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(own, guard::same_site))
}

/// `/metrics` and the health endpoints alone, for a listener that monitoring reaches under any name.
pub fn metrics_router(state: State) -> Router {
    let state = Arc::new(state);
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(&state))
        .merge(health(state))
        .fallback(nothing_here)
}

/// Workers and services, to be read; for the edge listener, which checks its callers itself.
pub fn read_only_router(state: State) -> Router {
    Router::new()
        .route("/api/admin/workers", get(workers))
        .route("/api/admin/services", get(services))
        .with_state(Arc::new(state))
        .fallback(nothing_here)
}

fn health(state: Arc<State>) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(readyz)).with_state(state)
}

impl State {
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    fn moment(&self) -> Moment {
        Moment::read(&self.clock)
    }

    /// What the node holds of a worker; none when it is too busy to say so, as the rest of the answer is worth more.
    async fn inquire(&self, worker: NodeId) -> Option<Inquiry<NodeId>> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(Command::Inquire(worker, answer)).ok()?;
        timeout(INQUIRY_TIMEOUT, answered).await.ok()?.ok()?
    }

    /// Hands `command` to the node.
    pub(super) async fn command(&self, command: Command) -> Result<(), Refusal> {
        let sent = self.commands.send_timeout(command, COMMAND_TIMEOUT).await;
        sent.map_err(|_| Refusal::unavailable("the node is busy or going away"))
    }
}

async fn workers(Shared(state): Shared<Arc<State>>) -> Json<Vec<Worker>> {
    Json(report::workers(&state.view(), state.moment()))
}

async fn services(Shared(state): Shared<Arc<State>>) -> Json<Services> {
    Json(report::services(&state.view(), &state.traffic.look().0))
}

async fn leader(Shared(state): Shared<Arc<State>>) -> Json<Leader> {
    Json(report::leader(&state.view(), &state.store, state.moment()))
}

async fn why(Shared(state): Shared<Arc<State>>, Path(worker): Path<String>) -> Result<Json<Why>, Refusal> {
    let view = state.view();
    let member = why::find(&view, &worker).map_err(|error| {
        let status = match error {
            WorkerError::NotFound(_) => StatusCode::NOT_FOUND,
            WorkerError::Ambiguous { .. } => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, error.to_string())
    })?;
    let inquiry = state.inquire(member.id).await;
    Ok(Json(why::why(&view, member, inquiry.as_ref(), &state.journal, state.moment())))
}

async fn leave(Shared(state): Shared<Arc<State>>) -> Result<Response, Refusal> {
    state.command(Command::Leave).await?;
    let view = state.view();
    let WorkerRef { worker_id, name } = WorkerRef::of(view.local, &view);
    Ok((StatusCode::ACCEPTED, Json(Leaving { leaving: true, worker_id, name })).into_response())
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Result<Response, Refusal> {
    state.metrics.observe_view(&state.view());
    let (standings, occupancy) = state.traffic.look();
    state.metrics.observe_instances(&standings);
    state.metrics.observe_occupancy(&occupancy);
    let text = state.metrics.encode();
    let text = text.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

async fn readyz(Shared(state): Shared<Arc<State>>) -> Result<&'static str, Refusal> {
    let view = state.view();
    if view.draining {
        Err(Refusal::unavailable("draining"))
    } else if view.ready {
        Ok("ready\n")
    } else {
        Err(Refusal::unavailable("not part of the mesh yet"))
    }
}

async fn nothing_here() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "nothing is here; the API begins with /api/admin/")
}

async fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know that method; see the header 'allow'",
    )
}
