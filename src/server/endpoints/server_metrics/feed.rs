//! The metrics of the feed of changes.

use std::time::Duration;

use super::values::{counter, gauge, one_of};
use crate::{
    cache::FeedState,
    clock::Uptime,
    observability::metrics::Sample,
    server::background::feed::{FeedMode, FeedReport},
    service::Api,
};

/// `began`: when the server started.
pub(super) fn samples(api: &Api, report: FeedReport, began: Uptime) -> Vec<Sample> {
    let (cache, tally) = (&api.cache, api.cache.tally());
    let state = match report.mode {
        FeedMode::Disconnected => "unheard",
        FeedMode::Listening => "listening",
        FeedMode::Polling => "polling",
        FeedMode::Off => "off",
        FeedMode::Unarmed => "unarmed",
    };
    let lag = cache.lag(api.clock.now()).as_seconds_f64();
    vec![
        Sample {
            name: "feed_state",
            help: "1 for how changes are received; unarmed: triggers are missing, unheard: the database does not answer",
            value: one_of("state", &["listening", "polling", "off", "unarmed", "unheard"], state),
        },
        gauge("feed_lag_seconds", "How long ago the database last answered the feed", lag),
        gauge(
            "feed_proof_age_seconds",
            "How long ago the database was asked for what is relied on as fresh, by the clock that goes on while the machine is suspended; since the start where it never was, 0 with --changes off",
            proof_age(api, report, began).as_secs_f64(),
        ),
        gauge(
            "clock_skew_seconds",
            "By how much the database's clock is ahead of this machine's, as of its last answer and exact to half a round trip; negative where it is behind, 0 on SQLite",
            report.clock_skew.as_seconds_f64(),
        ),
        counter("changes", "Changes that were received", tally.changes.get()),
        counter(
            "changes_unheard",
            "Changes found without a notification while it listened: of writers that commit at once, one notifies",
            report.unheard,
        ),
        counter("resets", "Times that everything had to be read again", tally.resets.get()),
        gauge("watchers", "Open WatchChanges streams", cache.watchers()),
        gauge(
            "watched_tenants",
            "Tenants that WatchChanges streams name, each as often as it is named",
            api.watchers.tenants(),
        ),
        gauge("followers", "Open FollowFacts streams, of edges", api.followers.streams()),
        gauge(
            "notification_queue_usage_ratio",
            "How full PostgreSQL's notification queue is; at 1, commits fail",
            report.queue_usage,
        ),
    ]
}

/// How long ago the last proof of freshness was given; without a feed there is nothing to prove.
fn proof_age(api: &Api, report: FeedReport, began: Uptime) -> Duration {
    match api.cache.feed() {
        FeedState::Off => Duration::ZERO,
        FeedState::Live | FeedState::Suspect => report.proven.unwrap_or(began).elapsed(),
    }
}
