//! Logs and traces.

mod lines;
mod losses;
mod traces;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use self::lines::{JsonLines, PlainFields};
pub(crate) use self::{
    losses::{SpanLoss, spans_lost},
    traces::{Collector, ExportLimits},
};

/// The target of all spans: these spans, and only these, are exported.
pub(crate) const TRACED: &str = "traced";

/// How long the end of the program waits for the last spans to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line, for machines.
    Json,
}

/// Why logs and traces could not be started.
#[derive(Debug, Error)]
pub(crate) enum TelemetryError {
    /// The log level is invalid.
    #[error("{0}")]
    Level(#[from] ParseError),
    /// The collector's address cannot be used.
    #[error("{0}")]
    Collector(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Exports spans while this lives.
#[derive(Debug)]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends the last spans. Must not be called on the runtime's thread: it blocks.
    pub(crate) fn end(self) {
        if let Some(Err(error)) =
            self.0.map(|provider| provider.shutdown_with_timeout(FLUSH_TIMEOUT))
        {
            tracing::warn!(%error, "the last spans did not reach the collector: {error}");
        }
    }
}

/// Starts logging to standard error, and tracing to a collector if there is one. Standard output is
/// reserved for answers. Must be called within the runtime that is to send the traces.
///
/// Does nothing if logging has been started already, as in tests.
pub(crate) fn start(
    format: LogFormat,
    level: &str,
    collector: Option<&Collector>,
) -> Result<Telemetry, TelemetryError> {
    // A span of SeaORM's own connector holds the database's URL. It is not used, and this makes
    // sure of that. And sqlx logs unknown parameters of a URL, including their values.
    let filter = EnvFilter::builder()
        .parse(level)?
        .add_directive("sea_orm::driver=warn".parse()?)
        .add_directive("sqlx_postgres::options=off".parse()?);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Pretty => {
            let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
            lines.fmt_fields(PlainFields).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            let lines = fmt::layer().with_writer(|| JsonLines).json().flatten_event(true);
            lines.with_filter(filter).boxed()
        }
    };
    let provider = collector.map(traces::provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("entitlementd");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false);
        // What the exporter itself logs must not be traced, or it would never end.
        layer.with_filter(Targets::new().with_target(TRACED, tracing::Level::INFO))
    });
    if tracing_subscriber::registry().with(lines).with(traces).try_init().is_err() {
        tracing::debug!("logging was already started");
    }
    Ok(Telemetry(provider))
}
