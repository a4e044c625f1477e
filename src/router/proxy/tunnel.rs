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
use tokio::task::JoinHandle;

use super::body::{BoxError, ProxyBody};

/// The most bytes of a tunnel that travel as one piece.
const PIECE: usize = 16 * 1024;

type Io = TokioIo<Upgraded>;

/// The body that a tunnel's bytes become, and the body whose bytes are written into it.
#[derive(Debug)]
pub(super) struct TunnelBody {
    read: ReadHalf<Io>,
    buffer: BytesMut,
    writer: JoinHandle<()>,
}

impl TunnelBody {
    /// Writes `incoming` into the upgraded connection, for as long as the body that this is lives.
    pub(super) fn new(upgraded: Upgraded, incoming: ProxyBody) -> Self {
        let (read, write) = tokio::io::split(TokioIo::new(upgraded));
        let writer = tokio::spawn(write_all(incoming, write));
        Self { read, buffer: BytesMut::new(), writer }
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

impl Drop for TunnelBody {
    fn drop(&mut self) {
        self.writer.abort();
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
        Poll::Ready((filled > 0).then(|| Ok(Frame::data(piece))))
    }
}

/// What a client sends into its tunnel, once it has one.
pub(super) struct ClientTunnel {
    state: ClientState,
}

enum ClientState {
    Waiting(BoxFuture<'static, Result<TunnelBody, BoxError>>),
    Open(TunnelBody),
}

/// The two ends of a client's side: what it sends, as a body for the request, and where its answer goes.
pub(super) fn client_side(on_upgrade: OnUpgrade) -> (ClientTunnel, tokio::sync::oneshot::Sender<ProxyBody>) {
    let (answer, incoming) = tokio::sync::oneshot::channel::<ProxyBody>();
    let opened = async move {
        let incoming = incoming.await?;
        let upgraded = on_upgrade.await?;
        Ok(TunnelBody::new(upgraded, incoming))
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
                    self.state = ClientState::Open(tunnel);
                }
                ClientState::Open(tunnel) => return Pin::new(tunnel).poll_frame(cx),
            }
        }
    }
}
