//! Requests that come over links: a thin exit that balances nothing and retries nothing.

use std::future::poll_fn;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::body::ProxyBody;
use super::drain::Active;
use super::exit::{Admitted, Broken, Outbound};
use super::reply::Failure;
use super::stream::{StreamBody, pump};
use super::{Proxy, headers, target};
use crate::id::ServiceName;
use crate::router::Reason;
use crate::transport::Proxied;

/// The most links that a request may cross.
const MAX_HOPS: u32 = 2;

impl Proxy {
    /// Serves a request that a member forwarded, until its answer has gone out or the member gave it up.
    pub async fn exit(self, proxied: Proxied) {
        let Proxied { from, mut request, mut respond } = proxied;
        let active = Active::begin(&self.shared.drain);
        let name = service_of(request.headers());
        let mut span = self.begin_exit_span(&mut request, name.as_ref());
        let admitted = tokio::select! {
            biased;
            // The caller went away: what was begun for it ends here.
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
            admitted = self.admit_forwarded(&request, name.as_ref()) => admitted,
        };
        let mut answer = match admitted {
            Ok(admitted) => {
                let expected = request.headers().contains_key(EXPECT);
                if expected && let Err(error) = go_on(&mut respond) {
                    tracing::debug!(%from, %error, "a member gave up its request");
                    return;
                }
                tokio::select! {
                    biased;
                    _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
                    answer = async {
                        if expected && is_empty(request.headers()) {
                            meant(&mut request).await?;
                        }
                        Some(self.forward(admitted, request).await)
                    } => match answer {
                        Some(answer) => answer,
                        None => return,
                    },
                }
            }
            Err(failure) => failure.into_response(false),
        };
        if let Some(name) = &name {
            headers::set(answer.headers_mut(), headers::LOAD, self.shared.exit.in_flight(name));
        }
        if let Some(span) = &mut span {
            span.answered(answer.status(), answer.headers());
        }
        let is_tunnel = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let carry = async move {
            let _held = (active, span);
            if let Err(error) = send(answer, &mut respond).await {
                tracing::debug!(%from, %error, "an answer did not reach the member that asked");
            }
        };
        if is_tunnel {
            // A task of its own: this one has room for all that came before, which a tunnel would keep for hours.
            tokio::spawn(carry);
        } else {
            carry.await;
        }
    }

    /// Everything that is checked before a byte of the body is asked for.
    async fn admit_forwarded(
        &self,
        request: &Request<RecvStream>,
        name: Option<&ServiceName>,
    ) -> Result<Admitted, Failure> {
        match hops(request.headers()) {
            None => return Err(Failure::bad_request("the request does not say how many links it crossed")),
            Some(hops) if hops > MAX_HOPS => {
                let message = "the request crossed too many nodes";
                return Err(Failure::new(StatusCode::LOOP_DETECTED, "loop", message));
            }
            Some(_) => {}
        }
        if target::leads_above(request.uri().path()) {
            return Err(Failure::bad_request("the path leads above its root"));
        }
        if self.draining() {
            return Err(refusal(Reason::Draining));
        }
        let name = name.ok_or_else(|| Failure::bad_request("the request names no service"))?;
        self.shared.exit.admit(name).await.map_err(refusal)
    }

    async fn forward(&self, admitted: Admitted, request: Request<RecvStream>) -> Response<ProxyBody> {
        let (mut head, recv) = request.into_parts();
        let tunnel = head.headers.contains_key(headers::TUNNEL).then(|| self.shared.drain.parting.clone());
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_mesh(&mut head.headers);
        head.headers.remove(EXPECT);
        head.extensions.clear();
        let body = (!recv.is_end_stream()).then(|| StreamBody::new(recv).boxed_unsync());
        match admitted.send(&Outbound { head, tunnel }, body).await {
            Ok(response) => response,
            Err(Broken::Unwritten(failure)) => refusal(failure.reason()).into_response(false),
            Err(broken) => broken_answer(&broken).into_response(false),
        }
    }
}

/// The request is surely not started, and may go elsewhere.
fn refusal(reason: Reason) -> Failure {
    let message = format!("this node does not take the request: {reason}");
    Failure::unstarted(StatusCode::SERVICE_UNAVAILABLE, reason.as_str(), message)
}

fn hops(headers: &HeaderMap) -> Option<u32> {
    headers.get(headers::HOP)?.to_str().ok()?.parse().ok()
}

fn service_of(headers: &HeaderMap) -> Option<ServiceName> {
    headers.get(headers::SERVICE)?.to_str().ok()?.parse().ok()
}

fn go_on(respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut interim = Response::new(());
    *interim.status_mut() = StatusCode::CONTINUE;
    respond.send_informational(interim)
}

/// Whether a request says that its body is empty.
fn is_empty(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0")
}

/// Waits until the entry has heard that the request was taken, and still means it: it may have gone to another exit
/// meanwhile, and there is no body that would not arrive. `None` when it was given up.
async fn meant(request: &mut Request<RecvStream>) -> Option<()> {
    let end = poll_fn(|cx| request.body_mut().poll_data(cx)).await;
    end.is_none_or(|data| data.is_ok_and(|data| data.is_empty())).then_some(())
}

/// What the caller is told when a service broke after the request was given to it.
pub(super) fn broken_answer(broken: &Broken) -> Failure {
    Failure::new(StatusCode::BAD_GATEWAY, "broken", format!("the service gave no proper answer: {broken}"))
}

async fn send(
    answer: Response<ProxyBody>,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), super::stream::PumpError> {
    let (mut head, body) = answer.into_parts();
    head.version = Version::HTTP_2;
    head.extensions.clear();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // HTTP/2 has no 101; the entry turns this back.
        head.status = StatusCode::OK;
        head.headers.insert(headers::TUNNEL, HeaderValue::from_static("websocket"));
    }
    let done = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), done)?;
    if done { Ok(()) } else { pump(body, &mut stream).await }
}
