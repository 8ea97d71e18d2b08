//! What the metrics read where it is, when somebody asks.

mod change_log;
mod connections;
mod database;
mod feed;
mod state;
mod values;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use self::values::{counter, gauge, one_of, seconds};
use crate::{
    clock::Uptime,
    observability::{
        decision_log::{DecisionLog, LogCounts, LossReason},
        metrics::{Histograms, MetricLabel, MetricSource, Sample, Value},
        telemetry::{SpanLoss, spans_lost},
    },
    server::{
        background::{
            condition::Cause, feed::FeedReport, holding::Holding, readiness::Readiness,
            state::State,
        },
        net::{tally::ConnectionTally, tls::TlsOffer},
    },
    service::{Api, Database, grpc::front::InFlight},
};

/// Everything that is read.
#[derive(Debug)]
pub(crate) struct ServerMetrics {
    pub(crate) api: Api,
    pub(crate) readiness: Arc<Readiness>,
    report: Arc<Mutex<FeedReport>>,
    /// Connections to the database at the same time; `None`: there is none.
    max_connections: Option<u32>,
    started_at: DateTime<Utc>,
    /// The same, by a clock that nobody sets.
    began: Uptime,
    tls: Option<TlsOffer>,
    pub(crate) connections: ConnectionTally,
    in_flight: Vec<InFlight>,
    state: Option<State>,
}

impl MetricSource for ServerMetrics {
    fn samples(&self) -> Vec<Sample> {
        let report = *self.report.lock();
        [
            self.of_process(),
            self.of_cache(),
            self.of_revalidation(),
            feed::samples(&self.api, report, self.began),
            change_log::samples(report.change_log),
            connections::samples(&self.connections, self.in_flight()),
            self.of_database(),
            state::samples(self.state.as_ref(), self.api.clock.now()),
            self.of_usage(),
            self.of_decision_log(),
            self.of_tls(),
            self.of_keys(),
            of_traces(),
        ]
        .concat()
    }

    fn histograms(&self) -> Vec<Histograms> {
        let loads = self.api.cache.tally().load_durations.histograms(
            "load_duration_seconds",
            "Durations of the statements that read tenants, with the wait for a connection; no_connection: all were in use, or one could not be opened; timed_out: the database did not answer in time, be it while one was opened",
            "outcome",
        );
        vec![self.api.metrics.rpc_durations(), loads]
    }
}

impl ServerMetrics {
    pub(crate) fn new(
        max_connections: Option<u32>,
        api: Api,
        report: Arc<Mutex<FeedReport>>,
        readiness: Arc<Readiness>,
        tls: Option<TlsOffer>,
        in_flight: Vec<InFlight>,
        state: Option<State>,
    ) -> Self {
        let started_at = api.clock.now();
        Self {
            api,
            report,
            readiness,
            max_connections,
            started_at,
            began: Uptime::now(),
            tls,
            connections: ConnectionTally::default(),
            in_flight,
            state,
        }
    }

    /// The requests that are being answered, of every listener.
    fn in_flight(&self) -> usize {
        let rpcs: usize = self.in_flight.iter().map(InFlight::count).sum();
        rpcs + self.api.metrics.forward_auth_in_flight.get()
    }

    fn of_process(&self) -> Vec<Sample> {
        let condition = self.readiness.condition();
        let cause = condition.trouble().map_or("", |trouble| trouble.cause.word());
        vec![
            Sample {
                name: "build_info",
                help: "1, with the version of the program",
                value: Value::Gauges("version", vec![(env!("CARGO_PKG_VERSION"), 1.0)]),
            },
            gauge(
                "start_time_seconds",
                "When the process started, in seconds since 1970",
                seconds(self.started_at),
            ),
            Sample {
                name: "condition",
                help: "1 for what /readyz says, 0 for what it does not",
                value: one_of("condition", &["ready", "degraded", "unready"], condition.word()),
            },
            Sample {
                name: "condition_cause",
                help: "1 for the worst that is wrong, by the word that /readyz and the log have for it",
                value: one_of("cause", &Cause::WORDS, cause),
            },
        ]
    }

    fn of_database(&self) -> Vec<Sample> {
        match (&self.api.database, self.max_connections) {
            (Some(database), Some(most)) => database::samples(&database.store, most),
            _ => Vec::new(),
        }
    }

    fn of_usage(&self) -> Vec<Sample> {
        let Some(Database { usage, .. }) = &self.api.database else { return Vec::new() };
        vec![
            gauge(
                "usage_waiting",
                "Requests to count usage that wait for a transaction",
                usage.waiting(),
            ),
            gauge(
                "usage_wrong_counters",
                "Counters that were not the sums of what they have counted, when that was last looked at, each half hour: must be 0",
                usage.wrong(),
            ),
        ]
    }

    fn of_cache(&self) -> Vec<Sample> {
        let (cache, tally) = (&self.api.cache, self.api.cache.tally());
        let holding = self.report.lock().holding;
        vec![
            counter(
                "cache_hits",
                "Look-ups of a tenant that were answered from memory",
                tally.hits.get(),
            ),
            counter(
                "cache_misses",
                "Look-ups of a tenant for which the database was asked",
                tally.misses.get(),
            ),
            counter(
                "cache_stale_answers",
                "Look-ups answered although the database could not be asked",
                tally.stale.get(),
            ),
            counter(
                "cache_loads",
                "Tenants read from the database, again in the background included",
                tally.loads.get(),
            ),
            counter(
                "cache_load_statements",
                "Statements that read tenants from the database, up to 100 each",
                tally.statements.get(),
            ),
            counter(
                "cache_load_errors",
                "Readings of the database that failed",
                tally.load_errors.get(),
            ),
            counter(
                "cache_overloads",
                "Requests refused because too many waited to ask the database, or for longer than a second",
                tally.overloads.get(),
            ),
            gauge("cache_waiting_loads", "Loads that wait for their turn", cache.waiting_loads()),
            gauge("cache_entries", "Tenants held", cache.len()),
            gauge("cache_capacity", "Tenants held at most", cache.settings().capacity),
            Sample {
                name: "hold_state",
                help: "1 for how much --hold all has come to: all or some tenants are held that are to be, or it is not known which there are (unlisted); used: it is not set",
                value: one_of("state", &Holding::WORDS, holding.word(cache)),
            },
            gauge(
                "hold_missing_tenants",
                "Tenants that are not held and are to be by --hold all, or may be by --hold-modules, at least; 0 while it is not known which there are",
                holding.missing(cache).unwrap_or(0),
            ),
        ]
    }

    fn of_revalidation(&self) -> Vec<Sample> {
        let (cache, tally) = (&self.api.cache, self.api.cache.tally());
        let oldest = cache.oldest_proof(self.api.clock.now());
        vec![
            counter(
                "audited",
                "Held tenants that were compared with the database",
                tally.audited.get(),
            ),
            gauge(
                "revalidation_oldest_seconds",
                "How long ago the least recently checked of the held tenants was read or compared",
                oldest.as_seconds_f64(),
            ),
            gauge(
                "revalidation_behind_seconds",
                "How much longer ago than --cache-ttl the least recently checked tenant was read; 0 while all keeps up",
                (oldest - cache.settings().ttl).max(TimeDelta::zero()).as_seconds_f64(),
            ),
            counter(
                "divergences",
                "Held tenants that differed although no change was received; must stay 0",
                tally.divergences.get(),
            ),
        ]
    }

    fn of_decision_log(&self) -> Vec<Sample> {
        let counts = self.api.decision_log.as_ref().map(DecisionLog::counts);
        let lost =
            |reason: &LossReason| (reason.word(), counts.map_or(0, |counts| counts.lost(*reason)));
        let lost = LossReason::ALL.iter().map(lost).collect();
        let written = counts.map_or(0, LogCounts::written);
        vec![
            counter("decision_log_written", "Decisions that are in the decision log", written),
            Sample {
                name: "decision_log_lost",
                help: "Decisions that are not in the decision log; behind: it could not keep up, full: the disk is full",
                value: Value::Counters("reason", lost),
            },
        ]
    }

    fn of_tls(&self) -> Vec<Sample> {
        let (failures, not_after) =
            self.tls.as_ref().map_or((0, 0.0), |tls| (tls.failures(), seconds(tls.not_after())));
        vec![
            counter("tls_handshake_failures", "TLS handshakes that failed", failures),
            gauge(
                "tls_certificate_not_after_seconds",
                "Until when the server's certificate is good, in seconds since 1970; 0 without one",
                not_after,
            ),
        ]
    }

    fn of_keys(&self) -> Vec<Sample> {
        let reports: Vec<_> = self.api.tokens.remote().iter().map(|keys| keys.report()).collect();
        // The oldest counts; a set that was never fetched is as old as the process.
        let oldest =
            reports.iter().map(|(fetched_at, _)| fetched_at.unwrap_or(self.started_at)).min();
        let age =
            oldest.map_or(0.0, |oldest| (self.api.clock.now() - oldest).as_seconds_f64().max(0.0));
        vec![
            counter(
                "jwks_fetch_failures",
                "Times that an issuer's keys could not be fetched or used",
                reports.iter().map(|(_, failures)| failures).sum(),
            ),
            gauge(
                "jwks_age_seconds",
                "How long ago keys were fetched, of the issuer for which it is longest; 0 without one",
                age,
            ),
        ]
    }
}

fn of_traces() -> Vec<Sample> {
    let lost = SpanLoss::ALL.iter().map(|reason| (reason.word(), spans_lost(*reason))).collect();
    vec![Sample {
        name: "spans_lost",
        help: "Spans that did not reach the collector; behind: the queue was full, failed: it could not be reached, did not answer in time, or refused them",
        value: Value::Counters("reason", lost),
    }]
}
