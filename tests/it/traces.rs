//! Traces of a real node, whose collector is told of its last requests too.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshnode::dev::services::{Kind, Sample};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::net::TcpListener;

use crate::support::{SOON, World};

type Names = Arc<Mutex<Vec<String>>>;

fn locked(names: &Names) -> MutexGuard<'_, Vec<String>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the names of the spans that it gets.
async fn collector() -> anyhow::Result<(Names, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let names = Names::default();
    let seen = names.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            let take = service_fn(move |request: Request<Incoming>| {
                let seen = seen.clone();
                async move {
                    let body =
                        request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let export = ExportTraceServiceRequest::decode(body).unwrap_or_default();
                    let spans = export.resource_spans.into_iter().flat_map(|it| it.scope_spans);
                    let names = spans.flat_map(|it| it.spans).map(|span| span.name);
                    locked(&seen).extend(names);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = builder.serve_connection(TokioIo::new(stream), take).await;
            });
        }
    });
    Ok((names, url))
}

#[tokio::test]
async fn spans_that_wait_are_sent_when_the_node_leaves() -> anyhow::Result<()> {
    let world = World::new()?;
    let (names, url) = collector().await?;
    let echo = Sample::start(Kind::Echo, "n1", "1").await?;
    let n1 = world.node("n1").service(&echo).arg("--otlp", &url).start().await?;
    n1.sees_healthy("echo", 1, SOON).await?;
    for _ in 0..3 {
        ensure!(n1.get("echo", "x").await?.status == 200);
    }
    n1.node.leave().await?;
    let names = locked(&names).clone();
    ensure!(names == ["GET echo"; 6], "a request and an attempt, three times, but not {names:?}");
    world.passed()
}
