//! gRPC through the edge: HTTP/2 all the way, streams in both directions, trailers.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::fake::{edge, summary};
use crate::edge::tests::fake::SECRET;
use crate::router::proxy::body::{BoxError, ProxyBody, full};
use crate::router::proxy::edge::EdgeSecrets;
use crate::router::proxy::tests::harness::nobody;

/// A node that sends back what it gets, piece by piece, and trailers then.
async fn grpc_node() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let secrets = EdgeSecrets::parse(SECRET).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let secrets = secrets.clone();
            let service = service_fn(move |request| {
                let secrets = secrets.clone();
                async move { Ok::<_, Infallible>(answer(request, &secrets, addr)) }
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .unwrap();
            });
        }
    });
    addr
}

fn answer(request: Request<Incoming>, secrets: &EdgeSecrets, addr: SocketAddr) -> Response<ProxyBody> {
    let now = crate::clock::unix_now().as_secs();
    secrets.verify(&request, &addr.to_string(), now).unwrap();
    if request.uri().path() == "/.mesh/summary" {
        return Response::new(full(summary([addr.to_string()].into_iter())));
    }
    assert_eq!((request.version(), request.headers()["te"].as_bytes()), (Version::HTTP_2, &b"trailers"[..]));
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut asked = request.into_body();
        while let Some(piece) = asked.frame().await {
            pieces.send(Ok::<_, BoxError>(piece.unwrap())).await.unwrap();
        }
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        pieces.send(Ok(Frame::trailers(trailers))).await.unwrap();
    });
    let mut response = Response::new(StreamBody::new(ReceiverStream::new(body)).boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("x-mesh-worker", HeaderValue::from_static("fake"));
    response
}

/// Calls over one connection to the edge.
async fn client(edge: SocketAddr) -> SendRequest<ProxyBody> {
    let stream = TcpStream::connect(edge).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(body: ProxyBody) -> Request<ProxyBody> {
    let request = Request::post("http://public.example/pkg.Service/Method").header("x-mesh-service", "rag");
    request.header("content-type", "application/grpc").header("te", "trailers").body(body).unwrap()
}

#[tokio::test]
async fn a_call_streams_both_ways_and_ends_with_its_trailers() {
    let serving = edge(&[grpc_node().await]).await;
    let mut client = client(serving.addr).await;
    for _ in 0..2 {
        let (pieces, body) = mpsc::channel(1);
        let body = StreamBody::new(ReceiverStream::new(body)).boxed_unsync();
        let mut response = client.send_request(call(body)).await.unwrap();
        assert_eq!(response.headers()["x-mesh-tries"], "1");
        for piece in ["one", "two"] {
            pieces.send(Ok(Frame::data(Bytes::from(piece)))).await.unwrap();
            let echoed = response.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(echoed, piece, "before the next one is sent");
        }
        drop(pieces);
        let trailers = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_in_trailers() {
    let serving = edge(&[nobody().await]).await;
    let body = Full::new(Bytes::from("x")).map_err(|never| match never {}).boxed_unsync();
    let response = client(serving.addr).await.send_request(call(body)).await.unwrap();
    let headers = response.headers();
    assert_eq!((response.status().as_u16(), &headers["grpc-status"]), (200, &HeaderValue::from_static("14")));
    assert_eq!(
        (&headers["x-mesh-error"], &headers["x-mesh-retry"]),
        (&"no_node".parse().unwrap(), &"1".parse().unwrap())
    );
}
