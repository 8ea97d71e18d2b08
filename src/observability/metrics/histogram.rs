//! A histogram of durations, in atomics: the library's own histogram takes a lock for each sample.
//!
//! It is written here too: the library writes exemplars, and offers no way to make one that it has
//! not observed itself.

use std::{
    fmt::{self, Write},
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Format, MetricLabel};

/// The upper bounds of the buckets, in microseconds, and in seconds as they are written: answers
/// from memory take tens of microseconds, a load some thousands, and neither may take more than a
/// few seconds.
const BOUNDS: [(u32, &str); 16] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1.0"),
    (2_500_000, "2.5"),
    (5_000_000, "5.0"),
];

/// The number of buckets.
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// The number of durations in each bucket.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

/// A histogram's values, summed over all threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    buckets: [u64; BUCKETS],
    nanoseconds: u64,
    exemplars: [Option<Exemplar>; BUCKETS],
}

/// A traced request, as an example of those in its bucket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceRef,
    pub(super) duration: Duration,
}

/// The trace that a request belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TraceRef {
    /// Its id.
    pub id: u128,
    /// When the request arrived.
    pub began: DateTime<Utc>,
}

/// Histograms that share a name.
#[derive(Debug)]
pub(crate) struct Histograms {
    /// Their name, without the common prefix.
    pub(super) name: &'static str,
    /// The help text, without a full stop.
    pub(super) help: &'static str,
    /// Their labels and values.
    pub(super) series: Vec<(String, Sum)>,
}

/// A histogram for each value of one label.
#[derive(Debug)]
pub(crate) struct HistogramFamily<L> {
    durations: Box<[Histogram]>,
    label: PhantomData<L>,
}

impl<L: MetricLabel> Default for HistogramFamily<L> {
    fn default() -> Self {
        let durations = L::ALL.iter().map(|_| Histogram::default()).collect();
        Self { durations, label: PhantomData }
    }
}

impl<L: MetricLabel> HistogramFamily<L> {
    /// Counts one duration with this label value.
    pub(crate) fn observe(&self, word: L, duration: Duration) {
        if let Some(durations) = self.durations.get(word.number()) {
            durations.observe(duration);
        }
    }

    /// The current values. The label has this name.
    pub(crate) fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
    ) -> Histograms {
        let series = L::ALL.iter().zip(&self.durations).map(|(word, durations)| {
            let mut sum = Sum::default();
            sum.add(durations);
            (format!("{label}=\"{}\"", word.word()), sum)
        });
        Histograms { name, help, series: series.collect() }
    }
}

impl Histogram {
    /// Counts a duration, and gives the number of its bucket.
    pub(super) fn observe(&self, duration: Duration) -> usize {
        let is_within = |(bound, _): &(u32, _)| duration <= Duration::from_micros((*bound).into());
        // Most durations are in the first few buckets.
        let bucket = BOUNDS.iter().position(is_within).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        // Enough for 584 years.
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        bucket
    }
}

impl Sum {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.nanoseconds =
            self.nanoseconds.wrapping_add(histogram.nanoseconds.load(Ordering::Relaxed));
    }

    /// Keeps the latest exemplar of each bucket.
    pub(super) fn illustrate(&mut self, bucket: usize, exemplar: Exemplar) {
        if let Some(kept) = self.exemplars.get_mut(bucket)
            && kept.is_none_or(|kept| kept.trace.began <= exemplar.trace.began)
        {
            *kept = Some(exemplar);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Histograms {
    /// Writes them in this format. The text format has no exemplars.
    pub(super) fn write(&self, prefix: &str, format: Format, page: &mut String) -> fmt::Result {
        let Self { name, help, series } = self;
        writeln!(page, "# HELP {prefix}_{name} {help}")?;
        writeln!(page, "# TYPE {prefix}_{name} histogram")?;
        for (labels, sum) in series {
            let seconds = Duration::from_nanos(sum.nanoseconds).as_secs_f64();
            writeln!(page, "{prefix}_{name}_sum{{{labels}}} {seconds:?}")?;
            writeln!(page, "{prefix}_{name}_count{{{labels}}} {}", sum.count())?;
            let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
            let mut cumulative = 0;
            for (bucket, bound) in bounds.enumerate() {
                cumulative += sum.buckets[bucket];
                write!(page, "{prefix}_{name}_bucket{{le=\"{bound}\",{labels}}} {cumulative}")?;
                if let (Format::OpenMetrics, Some(exemplar)) = (format, sum.exemplars[bucket]) {
                    exemplar.write(page)?;
                }
                writeln!(page)?;
            }
        }
        Ok(())
    }
}

impl Exemplar {
    /// As [OpenMetrics](https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md#exemplars) has
    /// it: a label, the value, and the time in seconds.
    fn write(self, page: &mut String) -> fmt::Result {
        let Self { trace: TraceRef { id, began }, duration } = self;
        let (seconds, millis) = (began.timestamp(), began.timestamp_subsec_millis());
        let value = duration.as_secs_f64();
        write!(page, " # {{trace_id=\"{id:032x}\"}} {value:?} {seconds}.{millis:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let histogram = Histogram::default();
        for microseconds in [0, 50, 51, 5_000_000, 5_000_001, u64::MAX / 1_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let mut sum = Sum::default();
        sum.add(&histogram);
        assert_eq!(
            (sum.buckets[0], sum.buckets[1], sum.buckets[15], sum.buckets[16]),
            (2, 1, 1, 2)
        );
        assert_eq!(sum.count(), 6);
    }

    #[test]
    fn the_bounds_are_written_as_they_are() {
        for (microseconds, written) in BOUNDS {
            assert_eq!(written.parse(), Ok(f64::from(microseconds) / 1e6));
        }
    }

    #[test]
    fn the_latest_request_illustrates_its_bucket_and_only_where_that_has_a_form() {
        let histogram = Histogram::default();
        let mut sum = Sum::default();
        for (id, seconds) in [(1, 5), (0xab, 7), (3, 6)] {
            let began = DateTime::from_timestamp(seconds, 250_000_000).unwrap();
            let duration = Duration::from_micros(400);
            let bucket = histogram.observe(duration);
            sum.illustrate(bucket, Exemplar { trace: TraceRef { id, began }, duration });
        }
        sum.add(&histogram);
        let histograms = Histograms {
            name: "took_seconds",
            help: "How long it took",
            series: vec![("kind=\"x\"".to_owned(), sum)],
        };
        let written = |format| {
            let mut page = String::new();
            histograms.write("it", format, &mut page).unwrap();
            page
        };
        let open = written(Format::OpenMetrics);
        let of_bucket = "it_took_seconds_bucket{le=\"0.0005\",kind=\"x\"} 3 \
                         # {trace_id=\"000000000000000000000000000000ab\"} 0.0004 7.250\n";
        assert!(open.contains(of_bucket), "{open}");
        assert_eq!(open.matches("trace_id").count(), 1, "{open}");
        assert!(open.starts_with(
            "# HELP it_took_seconds How long it took\n# TYPE it_took_seconds histogram\n"
        ));
        let text = written(Format::Text);
        assert!(text.contains("_bucket{le=\"0.0005\",kind=\"x\"} 3\n") && !text.contains("trace"));
    }
}
