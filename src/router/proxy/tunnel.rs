//! Upgraded connections (WebSocket) as a pair of bodies, so that they travel like any request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::body::{BoxError, ProxyBody};
use crate::time::Duration;

/// The most bytes of a tunnel that travel as one piece.
const PIECE: usize = 16 * 1024;

/// How long the one side may go on when the other has said all that it has to say.
const LINGER: Duration = Duration::from_secs(30);

type Io = TokioIo<Upgraded>;

/// The body that a tunnel's bytes become, and the body whose bytes are written into it.
#[derive(Debug)]
pub(super) struct TunnelBody {
    read: ReadHalf<Io>,
    buffer: BytesMut,
    /// Until this side has said all; dropped before, it ends the other direction too.
    talking: Option<oneshot::Sender<()>>,
}

impl TunnelBody {
    /// Writes `incoming` into the upgraded connection, for as long as the body that this is lives; when that came to
    /// its end, for a moment more.
    pub(super) fn new(upgraded: Upgraded, incoming: ProxyBody) -> Self {
        let (read, write) = tokio::io::split(TokioIo::new(upgraded));
        let (talking, silent) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                () = write_all(incoming, write) => {}
                () = cut(silent) => {}
            }
        });
        Self { read, buffer: BytesMut::new(), talking: Some(talking) }
    }
}

async fn write_all(mut incoming: ProxyBody, mut write: WriteHalf<Io>) {
    while let Some(Ok(frame)) = incoming.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        if write.write_all(&data).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
    // The other end may still have something to say; only this direction is done.
    let _ = write.shutdown().await;
}

async fn cut(silent: oneshot::Receiver<()>) {
    if silent.await.is_ok() {
        sleep(LINGER).await;
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
        this.buffer.resize(PIECE, 0);
        let mut buffer = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.read).poll_read(cx, &mut buffer))?;
        let filled = buffer.filled().len();
        let piece = this.buffer.split_to(filled).freeze();
        if filled == 0
            && let Some(talking) = this.talking.take()
        {
            // Fails when the other direction has ended before.
            let _ = talking.send(());
        }
        Poll::Ready((filled > 0).then(|| Ok(Frame::data(piece))))
    }
}

/// What a client sends into its tunnel, once it has one.
pub(super) struct ClientTunnel {
    state: ClientState,
}

enum ClientState {
    Waiting(BoxFuture<'static, Result<Option<TunnelBody>, BoxError>>),
    Open(TunnelBody),
    Refused,
}

/// The two ends of a client's side: what it sends, as a body for the request, and where its answer goes.
pub(super) fn client_side(on_upgrade: OnUpgrade) -> (ClientTunnel, oneshot::Sender<ProxyBody>) {
    let (answer, incoming) = oneshot::channel::<ProxyBody>();
    let opened = async move {
        // Without a switch the client has no more to say; breaking off instead would cut the refusal's own body.
        let Ok(incoming) = incoming.await else { return Ok(None) };
        let upgraded = on_upgrade.await?;
        Ok(Some(TunnelBody::new(upgraded, incoming)))
    };
    (ClientTunnel { state: ClientState::Waiting(Box::pin(opened)) }, answer)
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
