//! OpenTelemetry's own variables, by
//! [its specification](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/):
//! an empty value is none, and one that cannot be used is named in the log and counts as none.

use std::{
    collections::BTreeMap, ffi::OsString, ops::RangeInclusive, str::FromStr, time::Duration,
};

use http::{HeaderName, HeaderValue};
use url::Url;

use super::endpoint;
use crate::{
    config::without_passwords,
    observability::{
        telemetry::ExportLimits,
        trace_sampling::{TraceSampling, TraceShare},
    },
};

pub(super) const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const INSECURE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";

/// What the libraries read by themselves.
const OF_THE_LIBRARIES: [&str; 5] = [
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
];

/// The variables of a process that begin with `OTEL_`, and what was wrong with those that were read.
pub(super) struct Reader {
    variables: BTreeMap<String, OsString>,
    pub(super) problems: Vec<String>,
}

impl Reader {
    pub(super) fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty())
            .collect();
        Self { variables, problems: Vec::new() }
    }

    /// The variable that turns traces off, if one does.
    pub(super) fn off(&mut self) -> Option<&'static str> {
        if self.is_true(DISABLED) {
            return Some(DISABLED);
        }
        match self.text(EXPORTER)?.as_str() {
            "none" => Some(EXPORTER),
            "otlp" => None,
            other => {
                self.refuse(EXPORTER, other, "traces are sent by otlp, or not at all (none)");
                None
            }
        }
    }

    /// Where traces go.
    pub(super) fn endpoint(&mut self) -> Option<(&'static str, Url)> {
        for name in ENDPOINT {
            let Some(text) = self.text(name) else { continue };
            let with_scheme = if text.contains("://") {
                text.clone()
            } else {
                let scheme = if self.first(INSECURE).is_some_and(|(name, _)| self.is_true(name)) {
                    "http"
                } else {
                    "https"
                };
                format!("{scheme}://{text}")
            };
            match endpoint(&with_scheme) {
                Ok(url) => return Some((name, url)),
                Err(expected) => self.refuse(name, &without_passwords(&text), &expected),
            }
        }
        None
    }

    /// Which requests are traced, and how that is written.
    pub(super) fn sampling(&mut self) -> Option<(String, TraceSampling)> {
        let word = self.text(SAMPLER)?;
        let (callers_decide, of_others) = match word.strip_prefix("parentbased_") {
            Some(of_others) => (true, of_others),
            None => (false, word.as_str()),
        };
        let sampling = |ratio| TraceSampling { callers_decide, share: TraceShare::Ratio(ratio) };
        match of_others {
            "always_on" => Some((word.clone(), sampling(1.0))),
            "always_off" => Some((word.clone(), sampling(0.0))),
            "traceidratio" => {
                let ratio = self.ratio();
                Some((format!("{word} {ratio}"), sampling(ratio)))
            }
            _ => {
                let known = "expected always_on, always_off or traceidratio, each with parentbased_ before it or without";
                self.refuse(SAMPLER, &word, known);
                None
            }
        }
    }

    /// The share of `traceidratio`; all, where it is not given.
    fn ratio(&mut self) -> f64 {
        const ALL: f64 = 1.0;
        let Some(text) = self.text(SAMPLER_ARG) else { return ALL };
        match text.parse() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                self.refuse(
                    SAMPLER_ARG,
                    &text,
                    "expected a number from 0 to 1, such as 0.25; without one, all are traced",
                );
                ALL
            }
        }
    }

    /// How spans are sent.
    pub(super) fn limits(&mut self) -> ExportLimits {
        let usual = ExportLimits::default();
        let timeout = self.first(TIMEOUT).map(|(name, _)| name);
        let timeout = timeout.and_then(|name| self.number(name, 1..=60_000));
        let queue = self.number(QUEUE, 1..=65_536).unwrap_or(usual.queue);
        let delay = self.number(DELAY, 1..=600_000);
        ExportLimits {
            timeout: timeout.map_or(usual.timeout, Duration::from_millis),
            queue,
            batch: self.number(BATCH, 1..=queue).unwrap_or(usual.batch.min(queue)),
            delay: delay.map_or(usual.delay, Duration::from_millis),
        }
    }

    /// Only gRPC is spoken here.
    pub(super) fn check_protocol(&mut self) {
        if let Some((name, value)) = self.first(PROTOCOL)
            && value != "grpc"
        {
            self.refuse(name, &value, "traces are sent by grpc, usually to port 4317");
        }
    }

    /// The library reads them, and leaves out in silence what it cannot use. They may be secret.
    pub(super) fn check_headers(&mut self) {
        let Some((name, value)) = self.first(HEADERS) else { return };
        let is_header = |entry: &str| {
            entry.split_once('=').is_some_and(|(name, value)| {
                !value.trim().is_empty()
                    && HeaderName::from_str(name.trim()).is_ok()
                    && HeaderValue::from_str(value.trim()).is_ok()
            })
        };
        let unusable = value
            .split_terminator(',')
            .enumerate()
            .filter(|(_, entry)| !is_header(entry))
            .map(|(number, _)| (number + 1).to_string());
        let unusable: Vec<String> = unusable.collect();
        if !unusable.is_empty() {
            self.problems.push(format!(
                "{name}: entry {} is no NAME=VALUE of a header: it is left out",
                unusable.join(", ")
            ));
        }
    }

    /// What is set, and has no effect here.
    pub(super) fn unused(&self) -> Vec<String> {
        let used = [SAMPLER, SAMPLER_ARG, DISABLED, EXPORTER, QUEUE, BATCH, DELAY];
        let pairs = [ENDPOINT, INSECURE, PROTOCOL, TIMEOUT, HEADERS];
        let is_used = |name: &str| {
            used.contains(&name)
                || pairs.iter().any(|pair| pair.contains(&name))
                || OF_THE_LIBRARIES.contains(&name)
        };
        self.variables.keys().filter(|name| !is_used(name)).cloned().collect()
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name)?;
        let text = value.to_str().map(|text| text.trim().to_owned());
        if text.is_none() {
            self.problems.push(format!("{name} is not readable as text: it counts as not set"));
        }
        text.filter(|text| !text.is_empty())
    }

    /// The first of these that is set: the one for traces goes before the one for everything.
    fn first(&mut self, names: [&'static str; 2]) -> Option<(&'static str, String)> {
        names.into_iter().find_map(|name| Some((name, self.text(name)?)))
    }

    fn is_true(&mut self, name: &'static str) -> bool {
        match self.text(name) {
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if !text.eq_ignore_ascii_case("false") => {
                self.refuse(name, &text, "expected true or false");
                false
            }
            _ => false,
        }
    }

    fn number<N: FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<N>,
    ) -> Option<N> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("expected a number from {} to {}", range.start(), range.end());
            self.refuse(name, &text, &expected);
        }
        number
    }

    fn refuse(&mut self, name: &str, value: &str, expected: &str) {
        self.problems.push(format!("{name} is {value:?}, which counts as not set: {expected}"));
    }
}
