//! Upgraded connections (WebSocket) as a pair of bodies, so that they travel like any request.

use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::body::{BoxError, ProxyBody};
use super::visit::Turn;
use super::way::{Toward, Way};
use crate::time::Duration;

/// The most bytes of a tunnel that travel as one piece.
const PIECE: usize = 16 * 1024;

/// How long the one side may go on when the other has said all that it has to say.
const LINGER: Duration = Duration::from_secs(30);

/// For what comes after the end. A connection that is closed with bytes unread is reset, and its last bytes may be lost.
const LAST_WORDS: Duration = Duration::from_secs(1);

type Io = TokioIo<Upgraded>;

/// The body that a tunnel's bytes become, and the body whose bytes are written into it.
pub(crate) struct TunnelBody {
    read: Option<ReadHalf<Io>>,
    way: Way,
    parting: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until this side has said all, or nobody listens any more; then the other direction ends too.
    talking: Option<Talking>,
    others_end: OthersEnd,
}

/// Tells the direction that is written of the end of the one that is read; with what is left of it, when nobody wants
/// to read it any more.
type Talking = oneshot::Sender<Option<ReadHalf<Io>>>;

/// What is known of the end of the direction that is written.
enum OthersEnd {
    Ahead(oneshot::Receiver<()>),
    Past(Pin<Box<Sleep>>),
}

impl TunnelBody {
    /// Writes `incoming` into the upgraded connection, which leads to `toward`, for as long as the body that this is
    /// lives; when that came to its end, for a moment more. At `parting`, both directions end with a goodbye.
    pub(crate) fn new(
        upgraded: Upgraded,
        incoming: ProxyBody,
        toward: Toward,
        parting: CancellationToken,
    ) -> Self {
        let (read, write) = tokio::io::split(TokioIo::new(upgraded));
        let (talking, silent) = oneshot::channel();
        let (writing, written) = oneshot::channel::<()>();
        let outgoing = Outgoing { incoming, write, way: Way::new(toward) };
        let parted = parting.clone().cancelled_owned();
        tokio::spawn(async move {
            let mut outgoing = pin!(outgoing.run(parted));
            let mut silent = silent;
            let unread = tokio::select! {
                () = &mut outgoing => {
                    drop(writing);
                    silent.await
                }
                unread = &mut silent => {
                    // Its last bytes may have come before the news that nobody listens.
                    let has_ended = matches!(unread, Ok(None));
                    let _ = timeout(if has_ended { LINGER } else { LAST_WORDS }, outgoing).await;
                    unread
                }
            };
            if let Ok(Some(unread)) = unread {
                let _ = timeout(LAST_WORDS, discard(unread)).await;
            }
        });
        let parting = Box::pin(parting.cancelled_owned());
        let others_end = OthersEnd::Ahead(written);
        Self { read: Some(read), way: Way::new(toward.back()), parting, talking: Some(talking), others_end }
    }

    /// A peer that got all that it will get, and says nothing, is not waited for.
    fn poll_lingered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.others_end {
                OthersEnd::Ahead(written) => {
                    let _ = ready!(Pin::new(written).poll(cx));
                    self.others_end = OthersEnd::Past(Box::pin(sleep(LINGER)));
                }
                OthersEnd::Past(lingering) => return lingering.as_mut().poll(cx),
            }
        }
    }

    fn poll_parting(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let is_open = !self.way.is_ended();
        let goodbye = (is_open && self.parting.as_mut().poll(cx).is_ready()).then(|| self.way.end())?;
        (!goodbye.is_empty()).then_some(goodbye)
    }
}

/// The direction into an upgraded connection.
struct Outgoing {
    incoming: ProxyBody,
    write: WriteHalf<Io>,
    way: Way,
}

impl Outgoing {
    async fn run(mut self, parting: WaitForCancellationFutureOwned) {
        let mut parting = pin!(parting);
        let mut parted = false;
        while !self.way.is_ended() {
            let piece = tokio::select! {
                biased;
                () = &mut parting, if !parted => {
                    parted = true;
                    self.way.end()
                }
                frame = self.incoming.frame() => match frame {
                    Some(Ok(frame)) => self.way.pass(frame.into_data().unwrap_or_default()),
                    _ => break,
                },
            };
            if self.write.write_all(&piece).await.is_err() || self.write.flush().await.is_err() {
                return;
            }
        }
        // The other end may still have something to say; only this direction is done.
        let _ = self.write.shutdown().await;
        if self.way.is_ended() {
            // What still comes is for nobody, but who sends it must not take it for a broken connection.
            while let Some(Ok(_)) = self.incoming.frame().await {}
        }
    }
}

async fn discard(mut unread: ReadHalf<Io>) {
    let mut space = [0; 512];
    while unread.read(&mut space).await.is_ok_and(|read| read > 0) {}
}

impl Drop for TunnelBody {
    fn drop(&mut self) {
        if let Some(talking) = self.talking.take() {
            let _ = talking.send(self.read.take());
        }
    }
}

impl Body for TunnelBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some(goodbye) = this.poll_parting(cx) {
                return Poll::Ready(Some(Ok(Frame::data(goodbye))));
            }
            let Some(read) = &mut this.read else { break };
            // Not a buffer of its own: most tunnels are silent most of the time.
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(read).poll_read(cx, &mut buffer)? {
                Poll::Ready(()) if !buffer.filled().is_empty() => {
                    let piece = this.way.pass(Bytes::copy_from_slice(buffer.filled()));
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Poll::Ready(()) => break,
                Poll::Pending => {
                    ready!(this.poll_lingered(cx));
                    break;
                }
            }
        }
        if let Some(talking) = this.talking.take() {
            // Fails when the other direction has ended before.
            let _ = talking.send(None);
        }
        Poll::Ready(None)
    }
}

/// What a client sends into its tunnel, once it has one.
pub(crate) struct ClientTunnel {
    state: ClientState,
    /// Over HTTP/2 it is one of the streams that keep the client's connection from being idle.
    _turn: Option<Arc<Turn>>,
}

enum ClientState {
    Waiting(BoxFuture<'static, Result<Option<TunnelBody>, BoxError>>),
    Open(TunnelBody),
    Refused,
}

/// The two ends of a client's side: what it sends, as a body for the request, and where its answer goes.
pub(crate) fn client_side(
    on_upgrade: OnUpgrade,
    turn: Option<Arc<Turn>>,
    parting: CancellationToken,
) -> (ClientTunnel, oneshot::Sender<ProxyBody>) {
    let (answer, incoming) = oneshot::channel::<ProxyBody>();
    let opened = async move {
        // Without a switch the client has no more to say; breaking off instead would cut the refusal's own body.
        let Ok(incoming) = incoming.await else { return Ok(None) };
        let upgraded = on_upgrade.await?;
        Ok(Some(TunnelBody::new(upgraded, incoming, Toward::Client, parting)))
    };
    (ClientTunnel { state: ClientState::Waiting(Box::pin(opened)), _turn: turn }, answer)
}

impl Body for ClientTunnel {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match &mut self.state {
                ClientState::Waiting(opening) => {
                    let tunnel = ready!(opening.as_mut().poll(cx))?;
                    self.state = tunnel.map_or(ClientState::Refused, ClientState::Open);
                }
                ClientState::Open(tunnel) => return Pin::new(tunnel).poll_frame(cx),
                ClientState::Refused => return Poll::Ready(None),
            }
        }
    }
}
