//! How things stand with the server, as it says itself, as the system says and as PostgreSQL says.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    common::statements::{Count, Statements},
    http::Metrics,
    recorder::{Recorder, Second},
    server::Server,
};

const SECOND: Duration = Duration::from_secs(1);

/// How things stand at an instant.
pub struct Sample {
    pub at: Instant,
    pub rss_mib: f64,
    metrics: BTreeMap<String, f64>,
    cpu_nanos: u64,
    lines: u64,
    warnings: u64,
    statements: Count,
}

impl Sample {
    pub async fn take(server: &Server, statements: &mut Statements) -> Self {
        Self {
            metrics: Metrics::read(server.metrics).await.samples,
            statements: statements.count().await,
            at: Instant::now(),
            rss_mib: server.rss_mib(),
            cpu_nanos: server.process.cpu_nanos(),
            lines: server.process.log.lines.load(Ordering::Relaxed),
            warnings: server.process.log.warnings.load(Ordering::Relaxed),
        }
    }

    /// A metric by its name; `None` where this build has none of this name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(&format!("entitlementd_{name}")).copied()
    }

    /// Statuses in place of answers, as the server has counted them.
    pub fn statuses(&self) -> Vec<(&str, f64)> {
        let failures = self.metrics.iter().filter_map(|(series, count)| {
            let counted = series.strip_prefix("entitlementd_rpc_duration_seconds_count{")?;
            (counted.contains("CheckModule") && !counted.contains("\"OK\""))
                .then_some((counted, *count))
        });
        failures.filter(|(_, count)| *count > 0.0).collect()
    }
}

/// What happened between two samples, or in a time to live.
#[derive(Default)]
pub struct Span {
    pub seconds: f64,
    pub load: Second,
    /// What became of questions for tenants that were not held.
    pub cold: Second,
    pub rss_mib: f64,
    pub waiting: Option<f64>,
    pub cpu_nanos: f64,
    pub loads: f64,
    pub failed_loads: f64,
    pub stale: f64,
    pub lines: u64,
    pub warnings: u64,
    pub statements: Count,
    /// Answers a second in the worst of its seconds.
    pub worst: f64,
}

impl Span {
    pub fn between(before: &Sample, after: &Sample, load: Second, cold: Second) -> Self {
        let grown = |name: &str| {
            after.metric(name).unwrap_or(f64::NAN) - before.metric(name).unwrap_or(f64::NAN)
        };
        let seconds = (after.at - before.at).as_secs_f64();
        Self {
            seconds,
            worst: load.latencies.len() as f64 / seconds,
            load,
            cold,
            rss_mib: after.rss_mib,
            waiting: after.metric("cache_waiting_loads"),
            cpu_nanos: (after.cpu_nanos - before.cpu_nanos) as f64,
            loads: grown("cache_loads_total"),
            failed_loads: grown("cache_load_errors_total"),
            stale: grown("cache_stale_answers_total"),
            lines: after.lines - before.lines,
            warnings: after.warnings - before.warnings,
            statements: Count {
                reads: after.statements.reads - before.statements.reads,
                all: after.statements.all - before.statements.all,
                millis: after.statements.millis - before.statements.millis,
            },
        }
    }

    /// Adds what happened right after.
    pub fn add(&mut self, next: &Self) {
        self.worst = if self.seconds == 0.0 { next.worst } else { self.worst.min(next.worst) };
        self.seconds += next.seconds;
        self.load.add(&next.load);
        self.cold.add(&next.cold);
        self.rss_mib = self.rss_mib.max(next.rss_mib);
        self.cpu_nanos += next.cpu_nanos;
        self.loads += next.loads;
        self.failed_loads += next.failed_loads;
        self.stale += next.stale;
        self.lines += next.lines;
        self.warnings += next.warnings;
        self.statements.reads += next.statements.reads;
        self.statements.all += next.statements.all;
        self.statements.millis += next.statements.millis;
    }

    pub fn per_second(&self) -> f64 {
        self.load.latencies.len() as f64 / self.seconds
    }

    pub fn p99_millis(&self) -> f64 {
        Second::millis(&self.load.latencies, 0.99)
    }

    /// A second, as it is shown below [`Self::HEAD`]. CPU: the server's, in cores; where others use
    /// them too, it is less.
    pub fn line(&self) -> String {
        let Self {
            seconds,
            load,
            loads,
            failed_loads,
            waiting,
            statements,
            rss_mib,
            lines,
            cpu_nanos,
            ..
        } = self;
        let waiting = waiting.map_or("-".to_owned(), |waiting| format!("{waiting:.0}"));
        format!(
            "{:>10.0}{:>9.2}{:>8}{:>6.2}{:>9.0}{:>9.0}{waiting:>9}{:>9.0}{rss_mib:>9.0}{:>8.0}",
            self.per_second(),
            self.p99_millis(),
            load.failed,
            cpu_nanos / 1e9 / seconds,
            loads / seconds,
            failed_loads / seconds,
            statements.reads as f64 / seconds,
            *lines as f64 / seconds,
        )
    }

    pub const HEAD: &str =
        " answers/s   p99 ms  failed   CPU  loads/s failed/s  waiting  reads/s  RSS MiB   log/s";
}

/// Looks at a server under load.
pub struct Watch<'a> {
    pub runtime: &'a Runtime,
    pub statements: &'a mut Statements,
    pub server: &'a Server,
    pub load: &'a Recorder,
    pub cold: &'a Recorder,
}

impl Watch<'_> {
    fn sample(&mut self) -> Sample {
        self.runtime.block_on(Sample::take(self.server, self.statements))
    }

    /// Hands over what happened in each second from one instant to another, and when it ended.
    pub fn each_second(&mut self, from: Instant, to: Instant, mut take: impl FnMut(Instant, Span)) {
        thread::sleep(from.saturating_duration_since(Instant::now()));
        let mut before = self.sample();
        drop((self.load.take(), self.cold.take()));
        let mut end = from + SECOND;
        while end <= to {
            thread::sleep(end.saturating_duration_since(Instant::now()));
            let after = self.sample();
            take(end, Span::between(&before, &after, self.load.take(), self.cold.take()));
            before = after;
            end += SECOND;
        }
        for (status, count) in before.statuses() {
            println!("  {count} of {status}");
        }
    }
}
