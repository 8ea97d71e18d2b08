//! What was used over time.

use std::ops::Range;

use chrono::{DateTime, Utc};

/// How long spans are. Days and months are those of the tenant's time zone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UsageGranularity {
    /// A quarter of an hour; kept for 90 days.
    QuarterHour,
    /// An hour; kept for 90 days.
    Hour,
    /// A day; kept for ever.
    Day,
    /// A calendar month; kept for ever.
    Month,
}

/// A question about what was used of a monthly meter.
///
/// ```
/// use chrono::{TimeDelta, TimeZone, Utc};
/// use entitlement_client::{UsageGranularity, UsageQuery};
///
/// let november = Utc.with_ymd_and_hms(2026, 11, 1, 0, 0, 0).unwrap();
/// let days = november..november + TimeDelta::days(30);
/// let by_day = UsageQuery::new("transactions_monthly", UsageGranularity::Day, days).by_module();
/// # drop(by_day);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct UsageQuery {
    pub(crate) meter: String,
    pub(crate) granularity: UsageGranularity,
    pub(crate) within: Range<DateTime<Utc>>,
    /// Empty: all of them.
    pub(crate) module: String,
    pub(crate) by_module: bool,
}

impl UsageQuery {
    /// All that was used of `meter`, which is the key of a monthly limit: from the span on that the
    /// start is in, and up to the one that the end is in; without it, if it begins there. At most
    /// 10 000 spans.
    pub fn new(
        meter: impl Into<String>,
        granularity: UsageGranularity,
        within: Range<DateTime<Utc>>,
    ) -> Self {
        let meter = meter.into();
        Self { meter, granularity, within, module: String::new(), by_module: false }
    }

    /// Only for this module.
    pub fn module(mut self, code: impl Into<String>) -> Self {
        self.module = code.into();
        self
    }

    /// Each module by itself. Default: all together.
    pub fn by_module(mut self) -> Self {
        self.by_module = true;
        self
    }
}

/// What was used of a meter. What is held, or leased and not spent, is no part of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct UsageHistory {
    /// In order, without those in which nothing was used.
    pub spans: Vec<UsageSpan>,
    /// The sum of all.
    pub total: i64,
    /// What of it came late.
    pub late: i64,
}

/// What was used in one span of time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct UsageSpan {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// When it ends, exclusive.
    pub end: DateTime<Utc>,
    /// For which module. Empty: none was named, or all together.
    pub module: String,
    /// How much.
    pub amount: i64,
    /// How many things, or sums of counters.
    pub events: i64,
    /// What of the amount was recorded, or taken back, more than an hour after it was used: whoever had
    /// read it by then did not see that.
    pub late: i64,
    /// When any of it last changed.
    pub recorded_at: Option<DateTime<Utc>>,
}
