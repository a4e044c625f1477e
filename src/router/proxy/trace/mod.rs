//! Traces of requests: spans at the entry, of each attempt and at the exit, and the header that joins them.

mod context;
mod export;
mod span;

use std::time::Duration;

use opentelemetry::trace::{SpanContext, TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

use super::Proxy;
use super::entry::Entered;
use crate::id::ServiceName;
use crate::metrics::Metrics;

pub(super) use context::trace_id;
use span::Way;
pub(super) use span::{AttemptSpan, Parent, RequestSpan};

/// Spans that wait for their export; further ones are dropped.
const QUEUE: usize = 4096;

/// Spans of one export, and how long the first of them waits for the others.
const BATCH: usize = 512;
const EXPORT_EVERY: Duration = Duration::from_secs(1);

/// How long the last spans may take when the node ends.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// Where traces go, and who this node is in them.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// The collector's base URL; spans are sent to `/v1/traces` below it.
    pub collector: String,
    /// The share of the traces that begin here and are recorded, 0 to 1. Others decided for theirs.
    pub sample: f64,
    /// This node's identity.
    pub worker: String,
    /// This node's name.
    pub name: String,
}

/// The collector cannot be used as it was configured.
#[derive(Debug, thiserror::Error)]
#[error("--otlp {collector}: {reason}")]
pub struct InvalidCollector {
    /// What was configured.
    pub collector: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The traces of a node. Cloning shares the queue.
#[derive(Debug, Clone)]
pub struct Tracing {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Tracing {
    /// Starts a thread that sends spans, until [`finish`](Self::finish).
    pub fn start(config: &TracingConfig, metrics: Metrics) -> Result<Self, InvalidCollector> {
        let exporter = export::exporter(&traces_url(&config.collector), metrics).map_err(|error| {
            InvalidCollector { collector: config.collector.clone(), reason: error.to_string() }
        })?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EXPORT_EVERY)
            .build();
        let resource = Resource::builder().with_service_name("meshnode").with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", config.worker.clone()),
            KeyValue::new("mesh.node", config.name.clone()),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
            .with_resource(resource.build())
            .build();
        Ok(Self { tracer: provider.tracer("meshnode"), provider })
    }

    /// Sends what waits, and ends.
    pub async fn finish(self) {
        let finished =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FINISH_WITHIN));
        if !matches!(finished.await, Ok(Ok(()))) {
            tracing::debug!("the last spans were not taken");
        }
    }
}

impl Proxy {
    /// Begins the span of a client's request, if this node traces.
    pub(super) fn begin_span(&self, entered: &mut Entered) -> Option<RequestSpan> {
        let tracing = self.shared.tracing.as_ref()?;
        let way = Way::Entered { client: entered.sender.ip, scheme: entered.sender.scheme };
        let span = tracing.begin(&mut entered.request, entered.target.name.as_str(), way);
        entered.request.extensions_mut().insert(span.parent(tracing));
        Some(span)
    }

    /// Begins the span of a member's request, if this node traces.
    pub(super) fn begin_exit_span<B>(
        &self,
        request: &mut http::Request<B>,
        service: Option<&ServiceName>,
    ) -> Option<RequestSpan> {
        let tracing = self.shared.tracing.as_ref()?;
        let service = service.map_or("", ServiceName::as_str);
        Some(tracing.begin(request, service, Way::Forwarded { worker: &self.shared.pseudonym }))
    }
}

fn traces_url(collector: &str) -> String {
    const PATH: &str = "/v1/traces";
    let base = collector.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

fn below(parent: Option<SpanContext>) -> Context {
    let none = Context::new();
    match parent {
        Some(parent) => none.with_remote_span_context(parent),
        None => none,
    }
}
