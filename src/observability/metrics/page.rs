//! The page that Prometheus scrapes.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{Histograms, process::ProcessMetrics};

/// The prefix of each name of ours.
const PREFIX: &str = "entitlementd";

/// Metrics that are kept elsewhere, and read when the page is scraped.
pub(crate) trait MetricSource: fmt::Debug + Send + Sync + 'static {
    /// The current values.
    fn samples(&self) -> Vec<Sample>;

    /// The current values of histograms.
    fn histograms(&self) -> Vec<Histograms> {
        Vec::new()
    }
}

/// One metric, with its current value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Its name, without the common prefix and without `_total`.
    pub name: &'static str,
    /// Its help text, without a full stop.
    pub help: &'static str,
    pub value: Value,
}

/// The value of a metric, with its type.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A counter, which starts at zero with the process.
    Counter(u64),
    /// A counter for each value of one label, with the label's name.
    Counters(&'static str, Vec<(&'static str, u64)>),
    /// A counter of seconds.
    CountedSeconds(f64),
    /// A gauge.
    Gauge(f64),
    /// A gauge for each value of one label, with the label's name.
    Gauges(&'static str, Vec<(&'static str, f64)>),
}

/// The format of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// Prometheus's own text format, which every scraper reads.
    Text,
    /// OpenMetrics, which Prometheus requests.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for.
    pub(crate) fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The page's `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The page that Prometheus scrapes.
#[derive(Debug)]
pub(crate) struct Page {
    registry: Registry,
    read: Arc<dyn MetricSource>,
}

impl Page {
    /// Makes a page of the counters of requests, of what is read elsewhere, and of the process.
    pub(crate) fn new(metrics: Arc<impl Collector>, read: impl MetricSource) -> Self {
        let read: Arc<dyn MetricSource> = Arc::new(read);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(SourceCollector(Arc::new(ProcessMetrics))));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        ours.register_collector(Box::new(metrics));
        ours.register_collector(Box::new(SourceCollector(Arc::clone(&read))));
        Self { registry, read }
    }

    /// Writes the page with the current values.
    pub(crate) fn write(&self, format: Format) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode_registry(&mut page, &self.registry)?;
        for histograms in self.read.histograms() {
            histograms.write(PREFIX, format, &mut page)?;
        }
        match format {
            Format::Text => as_text(&page),
            Format::OpenMetrics => {
                text::encode_eof(&mut page)?;
                Ok(page)
            }
        }
    }
}

#[derive(Debug)]
struct SourceCollector(Arc<dyn MetricSource>);

impl Collector for SourceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Sample { name, help, value } in self.0.samples() {
            let kind = match value {
                Value::Counter(_) | Value::Counters(..) | Value::CountedSeconds(_) => {
                    MetricType::Counter
                }
                Value::Gauge(_) | Value::Gauges(..) => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            match value {
                Value::Counter(count) => {
                    metric.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
                Value::Counters(label, counts) => {
                    for (word, count) in counts {
                        metric
                            .encode_family(&[(label, word)])?
                            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                    }
                }
                Value::CountedSeconds(seconds) => {
                    metric.encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
                }
                Value::Gauge(gauge) => metric.encode_gauge(&gauge)?,
                Value::Gauges(label, gauges) => {
                    for (word, gauge) in gauges {
                        metric.encode_family(&[(label, word)])?.encode_gauge(&gauge)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// OpenMetrics omits `_total` where it describes a counter. The older text format does not, and is
/// equal in everything else that is used here.
fn as_text(page: &str) -> Result<String, fmt::Error> {
    let counters: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(page.len() + counters.len() * 16);
    for line in page.lines() {
        let described = line.strip_prefix("# ").and_then(|rest| {
            let mut words = rest.splitn(3, ' ');
            Some((words.next()?, words.next()?, words.next()?))
        });
        match described {
            Some((what, name, rest)) if counters.contains(&name) => {
                writeln!(text, "# {what} {name}_total {rest}")?;
            }
            _ => writeln!(text, "{line}")?,
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl MetricSource for Fixed {
        fn samples(&self) -> Vec<Sample> {
            vec![
                Sample { name: "things", help: "Things done", value: Value::Counter(3) },
                Sample {
                    name: "losses",
                    help: "Lost",
                    value: Value::Counters("reason", vec![("full", 2), ("failed", 0)]),
                },
                Sample {
                    name: "state",
                    help: "Which",
                    value: Value::Gauges("state", vec![("a", 1.0), ("b", 0.0)]),
                },
            ]
        }
    }

    #[derive(Debug)]
    struct Empty;

    impl Collector for Empty {
        fn encode(&self, _encoder: DescriptorEncoder) -> fmt::Result {
            Ok(())
        }
    }

    #[test]
    fn both_formats_say_the_same() {
        let page = Page::new(Arc::new(Empty), Fixed);
        let text = page.write(Format::Text).unwrap();
        let tail = "# HELP entitlementd_things_total Things done\n# TYPE entitlementd_things_total counter\n\
                    entitlementd_things_total 3\n# HELP entitlementd_losses_total Lost\n# TYPE entitlementd_losses_total counter\n\
                    entitlementd_losses_total{reason=\"full\"} 2\nentitlementd_losses_total{reason=\"failed\"} 0\n\
                    # HELP entitlementd_state Which\n# TYPE entitlementd_state gauge\n\
                    entitlementd_state{state=\"a\"} 1.0\nentitlementd_state{state=\"b\"} 0.0\n";
        assert!(text.ends_with(tail), "{text}");
        let open = page.write(Format::OpenMetrics).unwrap();
        let tail = tail
            .replace("things_total Things", "things Things")
            .replace("things_total counter", "things counter")
            .replace("losses_total Lost", "losses Lost")
            .replace("losses_total counter", "losses counter");
        assert!(open.ends_with(&(tail + "# EOF\n")), "{open}");
    }
}
