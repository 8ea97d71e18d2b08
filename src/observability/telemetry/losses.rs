//! Spans that do not reach their collector: counted, and told in the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfig, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use parking_lot::Mutex;

use super::Collector;
use crate::observability::{
    counters::Counter,
    metrics::{MetricLabel, label},
};

/// At least this long between two lines that say that spans are lost.
const EVERY: Duration = Duration::from_mins(1);

label! {
    /// Why a span did not reach the collector.
    pub(crate) enum SpanLoss {
        /// More spans waited to be sent than the queue holds.
        Behind => "behind",
        /// The collector could not be reached, did not answer in time, or refused the message.
        Failed => "failed",
    }
}

static LOST: [Counter; SpanLoss::ALL.len()] = [const { Counter::new() }; SpanLoss::ALL.len()];

/// The spans of this process that have not reached the collector, for this reason. Not among them:
/// spans of a message that the collector took and rejects in part, of which the exporter does not
/// tell, and those that still wait when the process ends.
pub(crate) fn spans_lost(reason: SpanLoss) -> u64 {
    LOST[reason.number()].get()
}

fn all_lost() -> u64 {
    LOST.iter().map(Counter::get).sum()
}

/// Sends spans in batches, and watches over what is lost.
pub(super) fn watched(
    exporter: impl SpanExporter + 'static,
    collector: &Collector,
    batches: BatchConfig,
) -> impl SpanProcessor + 'static {
    let waiting = Arc::new(AtomicUsize::new(0));
    let report = Mutex::new(Report::default());
    let exporter = Watched {
        exporter,
        endpoint: collector.endpoint.clone(),
        waiting: Arc::clone(&waiting),
        report,
    };
    let queue = collector.limits.queue;
    Bounded { batches: BatchSpanProcessor::new(exporter, batches), waiting, queue }
}

/// Takes no more spans than the queue holds: the processor of batches would drop them in silence.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    /// Spans in the queue, or a few more.
    waiting: Arc<AtomicUsize>,
    queue: usize,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.queue {
            self.batches.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            LOST[SpanLoss::Behind.number()].add();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    endpoint: String,
    waiting: Arc<AtomicUsize>,
    report: Mutex<Report>,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        let failure = result.as_ref().err().map(ToString::to_string);
        if failure.is_some() {
            LOST[SpanLoss::Failed.number()].add_many(count as u64);
        }
        self.tell(failure);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        // The exporter has no other than this.
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E> Watched<E> {
    fn tell(&self, failure: Option<String>) {
        let collector = &self.endpoint;
        let news = self.report.lock().after_export(failure.is_some(), all_lost(), Instant::now());
        match news {
            None => {}
            Some(News::Losing { lost }) => {
                let cause = failure.unwrap_or_else(|| "it is slower than spans come".to_owned());
                tracing::warn!(
                    collector,
                    lost,
                    "{lost} spans did not reach the collector at {collector}: {cause}"
                );
            }
            Some(News::Over { lost, lasted }) => tracing::info!(
                collector,
                lost,
                ?lasted,
                "spans reach the collector at {collector} again, after {lasted:.0?}; {lost} were lost"
            ),
        }
    }
}

/// What the log has been told of losses.
#[derive(Debug, Default)]
struct Report {
    /// All losses at the last export.
    seen: u64,
    /// All losses at the last line that told of them.
    told: u64,
    told_at: Option<Instant>,
    trouble: Option<Trouble>,
}

/// Since when spans are lost, and how many had been lost before.
#[derive(Debug)]
struct Trouble {
    began: Instant,
    before: u64,
    is_told: bool,
}

#[derive(Debug, Eq, PartialEq)]
enum News {
    /// So many spans were lost since the line before.
    Losing { lost: u64 },
    /// A trouble that the log was told of is over.
    Over { lost: u64, lasted: Duration },
}

impl Report {
    /// What is to be logged after an export, `lost` being all losses by now.
    fn after_export(&mut self, failed: bool, lost: u64, now: Instant) -> Option<News> {
        let before = std::mem::replace(&mut self.seen, lost);
        if !failed && lost == before {
            let trouble = self.trouble.take().filter(|trouble| trouble.is_told)?;
            let lasted = now.duration_since(trouble.began);
            self.told = lost;
            return Some(News::Over { lost: lost - trouble.before, lasted });
        }
        let trouble = self.trouble.get_or_insert(Trouble { began: now, before, is_told: false });
        if self.told_at.is_some_and(|told_at| now.duration_since(told_at) < EVERY) {
            return None;
        }
        trouble.is_told = true;
        self.told_at = Some(now);
        Some(News::Losing { lost: lost - std::mem::replace(&mut self.told, lost) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_a_minute_and_when_it_is_over() {
        let (mut report, start) = (Report::default(), Instant::now());
        let mut after = |failed, lost, seconds| {
            report.after_export(failed, lost, start + Duration::from_secs(seconds))
        };
        assert_eq!(after(false, 0, 0), None);
        assert_eq!(after(true, 5, 5), Some(News::Losing { lost: 5 }));
        assert_eq!(after(true, 9, 10), None);
        // The queue overflows, though the collector answers.
        assert_eq!(after(false, 12, 60), None);
        assert_eq!(after(true, 20, 65), Some(News::Losing { lost: 15 }));
        let lasted = Duration::from_secs(65);
        assert_eq!(after(false, 20, 70), Some(News::Over { lost: 20, lasted }));
        assert_eq!(after(false, 20, 75), None);
        // Within the minute: neither its begin nor its end is a line.
        assert_eq!(after(true, 22, 80), None);
        assert_eq!(after(false, 22, 85), None);
        assert_eq!(after(true, 23, 130), Some(News::Losing { lost: 3 }));
    }
}
