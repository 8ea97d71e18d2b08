//! The settings of traces.

mod otel;

use std::ffi::OsString;

use clap::Args;
use url::Url;

use self::otel::Reader;
use super::{Given, Source};
use crate::observability::{
    telemetry::{Collector, ExportLimits},
    trace_sampling::{TraceSampling, TraceShare},
};

/// Where traces go, and how many there are.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Send traces to this collector, by OTLP over gRPC, for example http://127.0.0.1:4317
    /// [default: that of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or else OTEL_EXPORTER_OTLP_ENDPOINT, or
    /// nowhere]
    #[arg(long, env = "ENTITLEMENTD_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otlp_endpoint: Option<Url>,
    /// Trace one in this many requests that have no trace of their caller's; 0: none. Callers
    /// decide about their own traces. Where it is not given, OTEL_TRACES_SAMPLER counts.
    #[arg(long, env = "ENTITLEMENTD_TRACE_ONE_IN", value_name = "COUNT", default_value = "1000")]
    pub trace_one_in: u32,
    /// What OpenTelemetry's own variables add.
    #[arg(skip)]
    otel: OtelSettings,
}

/// What OpenTelemetry's own variables say, where no flag or variable of ours does.
#[derive(Clone, Debug, Default)]
struct OtelSettings {
    sampling: Option<TraceSampling>,
    limits: ExportLimits,
    notes: TraceNotes,
}

/// What is to be said of OpenTelemetry's own variables once there is a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceNotes {
    /// Values that cannot be used, and what happens instead.
    pub problems: Vec<String>,
    /// Variables that are set, and of no use here.
    pub unused: Vec<String>,
    /// The variable that turns traces off which would be on otherwise.
    pub turned_off_by: Option<&'static str>,
}

impl TraceArgs {
    /// The collector, if traces are sent.
    pub(crate) fn collector(&self) -> Option<Collector> {
        let endpoint = self.otlp_endpoint.as_ref()?.to_string();
        Some(Collector { endpoint, limits: self.otel.limits })
    }

    /// Which requests are traced. Without a collector none that has no trace yet: it would be of no
    /// use.
    pub(crate) fn sampling(&self) -> TraceSampling {
        let one_in = if self.otlp_endpoint.is_some() { self.trace_one_in } else { 0 };
        self.otel
            .sampling
            .unwrap_or(TraceSampling { callers_decide: true, share: TraceShare::OneIn(one_in) })
    }

    /// What is to be said of OpenTelemetry's own variables.
    pub(crate) fn notes(&self) -> &TraceNotes {
        &self.otel.notes
    }

    /// Reads OpenTelemetry's own variables, which count where no setting of ours was `given`.
    pub(super) fn read_otel(
        &mut self,
        given: &mut [Given],
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) {
        let mut reader = Reader::new(variables);
        let off = reader.off();
        let from =
            if off.is_none() && self.otlp_endpoint.is_none() { reader.endpoint() } else { None };
        if let Some((variable, url)) = from {
            tell(given, "--otlp-endpoint", url.as_str(), variable);
            self.otlp_endpoint = Some(url);
        }
        if let Some(variable) = off.filter(|_| self.otlp_endpoint.take().is_some()) {
            tell(given, "--otlp-endpoint", "", variable);
            self.otel.notes.turned_off_by = Some(variable);
        }
        if self.otlp_endpoint.is_some() {
            if is_default(given, "--trace-one-in")
                && let Some((word, sampling)) = reader.sampling()
            {
                tell(given, "--trace-one-in", &word, otel::SAMPLER);
                self.otel.sampling = Some(sampling);
            }
            self.otel.limits = reader.limits();
            reader.check_protocol();
            reader.check_headers();
            self.otel.notes.unused = reader.unused();
        }
        self.otel.notes.problems = reader.problems;
    }
}

fn is_default(given: &[Given], flag: &str) -> bool {
    given.iter().any(|given| given.flag == flag && given.source == Source::Default)
}

/// A setting whose value comes from one of OpenTelemetry's variables.
fn tell(given: &mut [Given], flag: &str, value: &str, variable: &str) {
    if let Some(given) = given.iter_mut().find(|given| given.flag == flag) {
        given.value = super::without_passwords(value);
        given.source = Source::Variable(variable.to_owned());
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = text
        .parse()
        .ok()
        .filter(|url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| "expected a URL, such as http://127.0.0.1:4317".to_owned())
}

#[cfg(test)]
mod tests;
