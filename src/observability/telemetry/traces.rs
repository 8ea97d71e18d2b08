//! Sending spans to a collector.

use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig,
    tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    resource::{
        EnvResourceDetector, ResourceDetector, SdkProvidedResourceDetector,
        TelemetryResourceDetector,
    },
    trace::{BatchConfigBuilder, Sampler, SdkTracerProvider},
};

use super::losses::watched;

const NAME: &str = "entitlementd";
const SERVICE_NAME: Key = Key::from_static_str("service.name");

/// Where spans are sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    /// Its URL.
    pub endpoint: String,
    pub limits: ExportLimits,
}

/// The bounds of what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ExportLimits {
    /// How long the collector may take to answer, retries included.
    pub timeout: Duration,
    /// Spans that wait to be sent, at most; further ones are lost.
    pub queue: usize,
    /// Spans in one message, at most.
    pub batch: usize,
    /// How long a span waits for others to be sent with it.
    pub delay: Duration,
}

impl Default for ExportLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            queue: 2048,
            batch: 512,
            delay: Duration::from_secs(5),
        }
    }
}

/// Must be called within the runtime that is to send the spans.
pub(super) fn provider(collector: &Collector) -> Result<SdkTracerProvider, ExporterBuildError> {
    let Collector { endpoint, limits } = collector;
    // Headers of OTEL_EXPORTER_OTLP_HEADERS are read by the exporter itself.
    let mut exporter =
        SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(limits.timeout);
    if endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(limits.queue)
        .with_max_export_batch_size(limits.batch)
        .with_scheduled_delay(limits.delay)
        .build();
    Ok(SdkTracerProvider::builder()
        // Which requests are traced is decided before there is a span.
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(watched(exporter.build()?, collector, batches))
        .with_resource(resource())
        .build())
}

/// What the spans are of: as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say.
fn resource() -> Resource {
    let detected = SdkProvidedResourceDetector.detect().get(&SERVICE_NAME);
    let named = detected.map(|name| name.to_string());
    // What the library calls a service that nobody has named.
    let named = named.filter(|name| !name.starts_with("unknown_service"));
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ])
        .with_service_name(named.unwrap_or_else(|| NAME.to_owned()))
        .build()
}
