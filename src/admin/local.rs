//! The services of this node, changed at run time.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::refusal::Refusal;
use super::routes::COMMAND_TIMEOUT;
use super::{Command, State};
use crate::config::{Origin, ServiceConfig, ServiceTable, Source};
use crate::id::{InvalidServiceName, ServiceName};

/// The largest body of a change, in bytes.
const MAX_BODY_LEN: usize = 64 * 1024;

/// `GET /api/admin/local/services`: all of them, ordered by name.
pub(super) async fn list(Shared(state): Shared<Arc<State>>) -> Json<Vec<ServiceTable>> {
    Json(state.services.borrow().values().map(ServiceTable::from).collect())
}

/// `GET /api/admin/local/services/{name}`.
pub(super) async fn show(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
) -> Result<Json<ServiceTable>, Refusal> {
    let services = state.services.borrow();
    services.get(name.as_str()).map(|service| Json(service.into())).ok_or_else(|| not_here(&name))
}

/// `PUT /api/admin/local/services/{name}`: adds the service, or replaces the one of that name.
pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let name = name.parse()?;
    let service = parse(&name, &read(body).await?)?;
    let shown = ServiceTable::from(&service);
    let known = state.services.borrow().contains_key(&name);
    let (sender, answer) = oneshot::channel();
    state.command(Command::PutService(Box::new(service), sender)).await?;
    done(answer).await?;
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(shown)).into_response())
}

/// `DELETE /api/admin/local/services/{name}`.
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let service: ServiceName = name.parse()?;
    let (sender, answer) = oneshot::channel();
    state.command(Command::DeleteService(service, sender)).await?;
    if done(answer).await? { Ok(StatusCode::NO_CONTENT) } else { Err(not_here(&name)) }
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    let slow = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let body = timeout(COMMAND_TIMEOUT, to_bytes(body, MAX_BODY_LEN)).await.map_err(slow)?;
    let error = format!("the body is longer than {MAX_BODY_LEN} bytes, or broke off");
    body.map_err(|_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error))
}

/// The service that the JSON describes; its name may be left out, because the path has it.
fn parse(name: &ServiceName, body: &[u8]) -> Result<ServiceConfig, Refusal> {
    let mut table: ServiceTable = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    if table.name.is_empty() {
        name.as_str().clone_into(&mut table.name);
    } else if table.name != name.as_str() {
        return Err(bad(format!("field name: '{}' is not the name in the path, '{name}'", table.name)));
    }
    let origin = Origin { key: String::new(), source: Source::Request };
    table.resolve(&origin).map_err(|error| bad(error.to_string()))
}

/// What the node made of a change.
async fn done<T>(answer: oneshot::Receiver<Result<T, String>>) -> Result<T, Refusal> {
    match timeout(COMMAND_TIMEOUT, answer).await {
        Ok(Ok(answer)) => answer.map_err(|error| Refusal::new(StatusCode::CONFLICT, error)),
        Ok(Err(_)) => Err(Refusal::unavailable("the node is going away")),
        Err(_) => Err(Refusal::unavailable("the node is busy; whether the change was made is not known")),
    }
}

fn bad(error: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error)
}

fn not_here(name: &str) -> Refusal {
    let name: String = name.chars().take(80).collect();
    Refusal::new(StatusCode::NOT_FOUND, format!("this node has no service '{name}'"))
}

impl From<InvalidServiceName> for Refusal {
    fn from(error: InvalidServiceName) -> Self {
        bad(error.to_string())
    }
}
