//! What members ask over the links that they dialled: requests for the core, proxied requests, and who they are.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, trace};

use super::admission::Admission;
use super::cork::corked;
use super::http2::{self, CLOSING_TIMEOUT, CORE_PATH, WHOAMI_PATH};
use super::{LinkRequest, Proxied};
use crate::id::NodeId;
use crate::mesh::LINK_REQUEST_TIMEOUT;
use crate::wire;
use crate::wire::whoami::{WhoamiRequest, WhoamiResponse};

/// Marks a proxied request, and names the service.
const SERVICE_HEADER: HeaderName = HeaderName::from_static("x-mesh-service");

/// Says that a request was surely not started.
const RETRY_HEADER: HeaderName = HeaderName::from_static("x-mesh-retry");

/// Control requests at a time, of all links together: bounds the memory for their bodies.
const MAX_CONTROL_REQUESTS: usize = 64;

/// Serves the streams of all links that others dialled.
#[derive(Debug)]
pub(super) struct Server {
    admission: Arc<Admission>,
    requests: mpsc::Sender<LinkRequest>,
    proxied: mpsc::Sender<Proxied>,
    control: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Who is at the other end of a link.
#[derive(Debug, Clone, Copy)]
struct Asker {
    id: NodeId,
    ip: IpAddr,
}

impl Server {
    pub(super) fn new(
        admission: Arc<Admission>,
        requests: mpsc::Sender<LinkRequest>,
        proxied: mpsc::Sender<Proxied>,
        tasks: &TaskTracker,
    ) -> Self {
        let control = Arc::new(Semaphore::new(MAX_CONTROL_REQUESTS));
        Self { admission, requests, proxied, control, tasks: tasks.clone() }
    }

    /// Serves one link until it ends. When it is `expired`, it takes no new streams; those under way end as they will. When the
    /// node ends, they get a moment.
    pub(super) async fn serve<S>(
        self: &Arc<Self>,
        stream: S,
        remote: SocketAddr,
        peer: NodeId,
        expired: impl Future<Output = ()>,
        stop: CancellationToken,
    ) -> Result<(), h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let asker = Asker { id: peer, ip: remote.ip().to_canonical() };
        let (stream, mut cork) = corked(stream);
        let handshake = timeout(LINK_REQUEST_TIMEOUT, http2::server().handshake(stream)).await;
        let Ok(handshake) = handshake else { return Ok(()) };
        let mut connection = handshake?;
        let (mut stopped, mut expired) = (pin!(stop.cancelled()), pin!(expired));
        let mut is_expired = false;
        loop {
            tokio::select! {
                accepted = poll_fn(|cx| cork.poll(cx, |cx| connection.poll_accept(cx))) => match accepted {
                    Ok(Some(stream)) => { let (request, respond) = stream?; self.dispatch(asker, request, respond); }
                    Ok(None) | Err(_) => return Ok(()),
                },
                () = &mut expired, if !is_expired => {
                    connection.graceful_shutdown();
                    is_expired = true;
                }
                () = &mut stopped => break,
            }
        }
        connection.graceful_shutdown();
        let last_streams = async {
            while let Ok(Some(Ok((_request, mut respond)))) =
                poll_fn(|cx| cork.poll(cx, |cx| connection.poll_accept(cx))).await
            {
                // Surely not started, so whoever asks may go elsewhere.
                respond.send_reset(Reason::REFUSED_STREAM);
            }
        };
        if timeout(CLOSING_TIMEOUT, last_streams).await.is_err() {
            trace!(%peer, "a link was cut, because its streams did not end");
        }
        Ok(())
    }

    fn dispatch(
        self: &Arc<Self>,
        asker: Asker,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        if request.headers().contains_key(SERVICE_HEADER) {
            return self.hand_over(Proxied { from: asker.id, request, respond });
        }
        let path = match (request.method(), request.uri().path()) {
            (&Method::POST, CORE_PATH) => CORE_PATH,
            (&Method::POST, WHOAMI_PATH) => WHOAMI_PATH,
            _ => return refuse(&mut respond, StatusCode::NOT_FOUND),
        };
        let Ok(permit) = self.control.clone().try_acquire_owned() else {
            self.admission.refuse("link_control_full");
            return refuse(&mut respond, StatusCode::SERVICE_UNAVAILABLE);
        };
        let server = self.clone();
        self.tasks.spawn(async move {
            let answer = async {
                let body = http2::read_body(request.into_body()).await.map_err(|error| {
                    debug!(peer = %asker.id, %error, "a request over a link did not arrive whole");
                    StatusCode::BAD_REQUEST
                })?;
                if path == CORE_PATH {
                    server.ask_core(asker, body).await
                } else {
                    server.whoami(asker, &body).await
                }
            };
            match timeout(LINK_REQUEST_TIMEOUT, answer).await.unwrap_or(Err(StatusCode::GATEWAY_TIMEOUT)) {
                Ok(body) => answer_with(&mut respond, body),
                Err(status) => refuse(&mut respond, status),
            }
            drop(permit);
        });
    }

    fn hand_over(&self, proxied: Proxied) {
        let rejected = match self.proxied.try_send(proxied) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(proxied) | mpsc::error::TrySendError::Closed(proxied)) => {
                proxied
            }
        };
        self.admission.refuse("proxied_queue_full");
        let mut respond = rejected.respond;
        refuse(&mut respond, StatusCode::SERVICE_UNAVAILABLE);
    }

    async fn ask_core(&self, asker: Asker, body: Vec<u8>) -> Result<Vec<u8>, StatusCode> {
        let (reply, answer) = oneshot::channel();
        if self.requests.try_send(LinkRequest { from: asker.id, body, reply }).is_err() {
            self.admission.refuse("request_queue_full");
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Dials nothing but the source address of an admitted link.
    async fn whoami(&self, asker: Asker, body: &[u8]) -> Result<Vec<u8>, StatusCode> {
        let question = WhoamiRequest::decode(body).and_then(|question| question.checked_port());
        let port = question.map_err(|_| StatusCode::BAD_REQUEST)?;
        let back = self.admission.dial(SocketAddr::new(asker.ip, port), Some(asker.id)).await;
        Ok(wire::encode(&WhoamiResponse::new(asker.ip, back.is_ok())))
    }
}

fn answer_with(respond: &mut SendResponse<Bytes>, body: Vec<u8>) {
    let sent = respond
        .send_response(Response::new(()), body.is_empty())
        .and_then(|mut stream| if body.is_empty() { Ok(()) } else { stream.send_data(body.into(), true) });
    if let Err(error) = sent {
        trace!(%error, "nobody waits for this answer any more");
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, status: StatusCode) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_HEADER, HeaderValue::from_static("1"));
    }
    if let Err(error) = respond.send_response(response, true) {
        trace!(%error, "nobody waits for this refusal any more");
    }
}
