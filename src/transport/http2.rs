//! How links speak HTTP/2: the settings of both ends, and bodies with a bound.

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, client, server};
use http::{Method, Request, StatusCode};

use crate::mesh::LinkFailure;
use crate::time::Duration;
use crate::wire::MAX_LINK_BODY_LEN;

/// The path of the core's requests.
pub(super) const CORE_PATH: &str = "/mesh/v1/core";

/// The path of the question under which address one is seen.
pub(super) const WHOAMI_PATH: &str = "/mesh/v1/whoami";

/// For streams that are under way when the node ends.
pub(super) const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME_LEN: u32 = 64 << 10;
const STREAMS: u32 = 4096;
const SEND_BUFFER: usize = 1 << 20;

/// A client's headers may have 64 KiB; HTTP/2 counts 32 bytes more for each.
const HEADER_LIST_LEN: u32 = 512 << 10;

/// Many clients that hang up at once reset as many streams of one link; the default of 20 would end the link for all
/// others. Only members can send resets here.
const PENDING_RESETS: usize = 8192;
const LOCAL_RESETS: usize = 1 << 20;

pub(super) fn client() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_LEN)
        .max_header_list_size(HEADER_LIST_LEN)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .enable_push(false);
    builder
}

pub(super) fn server() -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_LEN)
        .max_header_list_size(HEADER_LIST_LEN)
        .max_concurrent_streams(STREAMS)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .enable_connect_protocol();
    builder
}

/// Posts `body` to `path` and reads the answer.
pub(super) async fn post(
    mut sender: SendRequest<Bytes>,
    path: &str,
    body: Vec<u8>,
) -> Result<Vec<u8>, LinkFailure> {
    let request = Request::builder().method(Method::POST).uri(format!("https://mesh{path}")).body(());
    let request = request.map_err(|_| LinkFailure::Unreachable)?;
    let (response, mut stream) = sender.send_request(request, false).map_err(|_| LinkFailure::Unreachable)?;
    stream.send_data(body.into(), true).map_err(|_| LinkFailure::Unreachable)?;
    let response = response.await.map_err(|_| LinkFailure::Unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(LinkFailure::Unreachable);
    }
    read_body(response.into_body()).await.map_err(|_| LinkFailure::Unreachable)
}

/// The body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    Broken(#[from] h2::Error),
    #[error("it is longer than {MAX_LINK_BODY_LEN} bytes")]
    TooLong,
}

/// Reads a body of at most [`MAX_LINK_BODY_LEN`] bytes.
pub(super) async fn read_body(mut stream: RecvStream) -> Result<Vec<u8>, BodyError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        if body.len() + chunk.len() > MAX_LINK_BODY_LEN {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}
