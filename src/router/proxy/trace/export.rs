//! Spans on their way to a collector: OTLP over HTTP, from a queue with a thread of its own, so that no request waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;

use crate::metrics::{KindLabels, Metrics};

/// For one batch, its retries included.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);

/// An exporter that sends to `url`; its connections live on this runtime.
pub(super) fn exporter(url: &str, metrics: Metrics) -> Result<SpanExporter, ExporterBuildError> {
    let client = Collector {
        url: url.into(),
        client: HyperClient::new(connector(), EXPORT_WITHIN, None),
        runtime: Handle::current(),
        metrics,
        failing: AtomicBool::new(false),
    };
    SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(url)
        .with_timeout(EXPORT_WITHIN)
        .build()
}

/// Trusts what the machine trusts.
fn connector() -> HttpsConnector<HttpConnector> {
    let builder = match HttpsConnectorBuilder::new().with_native_roots() {
        Ok(builder) => builder,
        Err(_) => HttpsConnectorBuilder::new().with_tls_config(
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        ),
    };
    builder.https_or_http().enable_all_versions().build()
}

/// The collector, as the exporter's thread reaches it.
#[derive(Debug)]
struct Collector {
    url: Arc<str>,
    client: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
    metrics: Metrics,
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        // The exporter's thread is none of the runtime's, and sockets need one.
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        let answer = sent.await.unwrap_or_else(|error| Err(error.into()));
        match &answer {
            Ok(response) if response.status().is_success() => self.works(),
            Ok(response) => self.fails(&response.status()),
            Err(error) => self.fails(error),
        }
        answer
    }
}

impl Collector {
    fn works(&self) {
        self.metrics.span_exports.get_or_create(&KindLabels { kind: "ok" }).inc();
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(collector = %self.url, "the collector takes spans again");
        }
    }

    /// Said once, until it works again: a collector that is down shall not fill the log.
    fn fails(&self, error: &dyn std::fmt::Display) {
        self.metrics.span_exports.get_or_create(&KindLabels { kind: "failed" }).inc();
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(collector = %self.url, %error, "the collector does not take spans; they are dropped");
        }
    }
}
