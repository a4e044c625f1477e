//! Requests and bodies over HTTP/2 streams, with the flow control that keeps a slow reader from filling memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

use super::body::{BoxError, ProxyBody};

/// A request whose head is on its way, and whose body is not.
#[derive(Debug)]
pub(crate) struct Opened {
    response: ResponseFuture,
    send: SendStream<Bytes>,
}

/// Sends the head of a request; `has_body` tells whether a body follows.
pub(crate) fn open(
    sender: &mut SendRequest<Bytes>,
    head: Request<()>,
    has_body: bool,
) -> Result<Opened, h2::Error> {
    let (response, send) = sender.send_request(head, !has_body)?;
    Ok(Opened { response, send })
}

impl Opened {
    /// Waits until the other side wants the body (true), or has its answer ready without it (false).
    pub(super) async fn accepted(&mut self) -> Result<bool, h2::Error> {
        loop {
            match poll_fn(|cx| self.response.poll_informational(cx)).await {
                Some(Ok(interim)) if interim.status() == StatusCode::CONTINUE => return Ok(true),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(false),
            }
        }
    }

    /// Sends the body beside waiting for the answer. Dropping the future, or the answer's body, resets the stream.
    pub(crate) async fn exchange(self, body: Option<ProxyBody>) -> Result<Response<ProxyBody>, h2::Error> {
        let Self { response, mut send } = self;
        let upload = body.map(|body| {
            AbortOnDrop(tokio::spawn(async move {
                // A failure resets the stream, so whoever waits for the answer learns of it there.
                let _ = pump(body, &mut send).await;
            }))
        });
        let (head, recv) = response.await?.into_parts();
        let body = StreamBody { recv, held: 0, data_done: false, _upload: upload };
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }
}

/// A task that ends when nobody needs it any more.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether the other side said that it did not look at the request at all.
pub(crate) fn surely_unseen(error: &h2::Error) -> bool {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    let beyond_goaway = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    error.is_remote() && (refused || beyond_goaway)
}

/// What stopped a body on its way into a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum PumpError {
    /// The body's source broke off.
    #[error("the body broke off: {0}")]
    Body(BoxError),
    /// The reader does not want the rest.
    #[error("the reader went away: {0}")]
    Reader(#[from] h2::Error),
    /// The stream was reset or closed.
    #[error("the stream is closed")]
    Closed,
}

/// Moves a body with its trailers into a stream, as fast as the reader takes it.
pub(super) async fn pump(mut body: ProxyBody, send: &mut SendStream<Bytes>) -> Result<(), PumpError> {
    loop {
        let frame = tokio::select! {
            biased;
            reset = poll_fn(|cx| send.poll_reset(cx)) => {
                reset?;
                return Err(PumpError::Closed);
            }
            frame = body.frame() => frame,
        };
        match frame {
            None => {
                send.send_data(Bytes::new(), true)?;
                return Ok(());
            }
            Some(Err(error)) => {
                send.send_reset(Reason::CANCEL);
                return Err(PumpError::Body(error));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let last = body.is_end_stream();
                    send_piece(data, last, send).await?;
                    if last {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        send.send_trailers(trailers)?;
                        return Ok(());
                    }
                }
            },
        }
    }
}

async fn send_piece(mut data: Bytes, last: bool, send: &mut SendStream<Bytes>) -> Result<(), PumpError> {
    if data.is_empty() {
        return if last { Ok(send.send_data(data, true)?) } else { Ok(()) };
    }
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let capacity = match poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(capacity) => capacity?,
            None => return Err(PumpError::Closed),
        };
        let piece = data.split_to(capacity.min(data.len()));
        if !piece.is_empty() {
            send.send_data(piece, last && data.is_empty())?;
        }
    }
    Ok(())
}

/// The receiving half of a stream. Its window opens again for bytes whose reader came back for more.
#[derive(Debug)]
pub(super) struct StreamBody {
    recv: RecvStream,
    held: usize,
    data_done: bool,
    _upload: Option<AbortOnDrop>,
}

impl StreamBody {
    /// The body that arrives on a stream which a peer opened.
    pub(super) const fn new(recv: RecvStream) -> Self {
        Self { recv, held: 0, data_done: false, _upload: None }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            // Fails only when the stream is gone, which the next poll reports.
            let _ = self.recv.flow_control().release_capacity(held);
        }
        if !self.data_done {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.held = data.len();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => self.data_done = true,
            }
        }
        let trailers = ready!(self.recv.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.recv.is_end_stream()
    }
}
