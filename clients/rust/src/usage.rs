//! Usage: what is counted against limits, each thing once.

mod counters;
mod guard;
mod history;
mod lease;
mod leased;
mod outage;
mod quiet;
mod ranges;
mod record;
mod sums;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::{
    counters::UsageCounters,
    guard::ReservationGuard,
    history::{UsageGranularity, UsageHistory, UsageQuery, UsageSpan},
    lease::{Lease, Unsettled},
    leased::LeasedUsage,
    outage::UsageOutage,
    record::{UsageEvent, UsageOutcome},
};
pub(crate) use self::{
    lease::{Acquire, Granted, Settle},
    quiet::Quiet,
    ranges::{Range, ranges},
    record::{Message, first_of},
    sums::{Of, Sums},
};
use crate::{Error, LimitEnforcement, LimitKind, LimitReason, LimitSource, Reason};

/// The pause between two attempts at the end.
const PAUSE: Duration = Duration::from_millis(100);

/// The most that one key takes.
pub(crate) const MOST: i64 = 1_000_000_000_000;

/// The longest key, in bytes.
const LONGEST_KEY: usize = 128;

/// Does something again until the server answers: for what must be done before the end.
pub(crate) async fn persist<F: Future<Output = Result<(), Error>>>(
    mut act: impl FnMut() -> F,
) -> Result<(), Error> {
    loop {
        match act().await {
            Err(Error::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// Can this name what is counted: 1 to 128 printable ASCII characters without blanks?
pub(crate) fn is_key(text: &str) -> bool {
    (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What is to be taken of a limit.
///
/// ```
/// use std::time::Duration;
///
/// use entitlement_client::Reserve;
///
/// // An import of up to 500 orders, for half a minute, of the tenant's right to the module.
/// let import = Reserve::new("transactions_monthly", "import-7")
///     .amount(500)
///     .partial()
///     .module("finance")
///     .hold_for(Duration::from_secs(30));
/// # drop(import);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Reserve {
    pub(crate) meter: String,
    pub(crate) key: String,
    pub(crate) amount: i64,
    /// Empty: the tenant's own use.
    pub(crate) module: String,
    pub(crate) hold_for: Option<Duration>,
    pub(crate) partial: bool,
}

impl Reserve {
    /// One of `meter`, which is the key of a limit, for good. `key` names what is counted, such as the
    /// order's own id: 1 to 128 printable ASCII characters without blanks. The same key is counted
    /// once, however often it is asked for.
    pub fn new(meter: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            meter: meter.into(),
            key: key.into(),
            amount: 1,
            module: String::new(),
            hold_for: None,
            partial: false,
        }
    }

    /// How much, 1 to 10^12. Default 1.
    pub fn amount(mut self, amount: i64) -> Self {
        self.amount = amount;
        self
    }

    /// The code of the module that it is for, which the tenant must be allowed to use. Default: none
    /// is asked about.
    pub fn module(mut self, code: impl Into<String>) -> Self {
        self.module = code.into();
        self
    }

    /// It is held for so long only, 1 s to 24 h, and returns by itself unless the same key comes again
    /// without this. Default: it is taken for good.
    pub fn hold_for(mut self, span: Duration) -> Self {
        self.hold_for = Some(span);
        self
    }

    /// Where there is less than the amount, takes what there is. Default: all or nothing.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// The same, for good.
    fn for_good(self) -> Self {
        Self { hold_for: None, ..self }
    }
}

/// Was it taken, and what does the counter say afterwards?
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Reservation {
    pub(crate) granted: bool,
    pub(crate) amount: i64,
    pub(crate) repeated: bool,
    pub(crate) by_outage_rule: bool,
    pub(crate) state: UsageState,
}

/// A counter, and the limit that bounds it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct UsageState {
    pub(crate) reason: LimitReason,
    pub(crate) denial_reason: Reason,
    pub(crate) message: String,
    pub(crate) limit: Option<i64>,
    pub(crate) used: i64,
    pub(crate) held: i64,
    pub(crate) remaining: Option<i64>,
    pub(crate) source: LimitSource,
    pub(crate) kind: LimitKind,
    pub(crate) enforcement: LimitEnforcement,
    pub(crate) resets_at: Option<DateTime<Utc>>,
    pub(crate) plan_slugs: Vec<String>,
}

impl Reservation {
    /// The answer: always true where [`enforcement`](Self::enforcement) is not
    /// [`On`](LimitEnforcement::On), unless the tenant or the module is denied, or there is no such
    /// limit.
    pub fn granted(&self) -> bool {
        self.granted
    }

    /// How much was taken: less than was asked for with [`partial`](Reserve::partial) only; 0 where it
    /// is not granted.
    pub fn amount(&self) -> i64 {
        self.amount
    }

    /// Was the key here before? Then this is what it was told then, and nothing more was taken. So
    /// it is too where an answer was lost and the library has asked again.
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Was it granted by the meter's [`UsageOutage`], because the server did not answer? Then nothing is
    /// known of the counter, and it is recorded later.
    pub fn by_outage_rule(&self) -> bool {
        self.by_outage_rule
    }

    /// Why it is not granted; else how the counter stands to the limit, or would if that were
    /// enforced.
    pub fn reason(&self) -> LimitReason {
        self.state.reason
    }

    /// What became of the tenant, on [`LimitReason::TenantDenied`]; of the module, on
    /// [`LimitReason::ModuleDenied`].
    pub fn denial_reason(&self) -> Reason {
        self.state.denial_reason
    }

    /// Where it is not within the limit, a sentence that can be shown to a person; else empty.
    pub fn message(&self) -> &str {
        &self.state.message
    }

    /// What is used, without what is held.
    pub fn used(&self) -> i64 {
        self.state.used
    }

    /// What is held, and returns by itself.
    pub fn held(&self) -> i64 {
        self.state.held
    }

    /// The limit; `None`: there is none.
    pub fn limit(&self) -> Option<i64> {
        self.state.limit
    }

    /// What is left beside what is used and held. `None`: there is no limit. Negative: there is more
    /// than it allows.
    pub fn remaining(&self) -> Option<i64> {
        self.state.remaining
    }

    /// Who says what the limit is.
    pub fn source(&self) -> LimitSource {
        self.state.source
    }

    /// What the meter counts.
    pub fn kind(&self) -> LimitKind {
        self.state.kind
    }

    /// Does the server enforce limits?
    pub fn enforcement(&self) -> LimitEnforcement {
        self.state.enforcement
    }

    /// When the month ends, and another counter begins at nothing. `None`: a level.
    pub fn resets_at(&self) -> Option<DateTime<Utc>> {
        self.state.resets_at
    }

    /// Where it is not within the limit, the slugs of the plans on sale whose limit would do, cheapest
    /// first.
    pub fn plan_slugs(&self) -> &[String] {
        &self.state.plan_slugs
    }

    /// The reason for programs: that of the tenant or the module, where it is denied.
    pub(crate) fn word(&self) -> &'static str {
        match self.state.reason {
            LimitReason::TenantDenied | LimitReason::ModuleDenied => {
                self.state.denial_reason.as_str()
            }
            reason => reason.as_str(),
        }
    }
}

/// What was put right of a level, in all ranges together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Reconciled {
    pub(crate) counted: i64,
    pub(crate) released: i64,
    pub(crate) used: i64,
    pub(crate) reason: LimitReason,
}

impl Reconciled {
    /// How many were not counted, and are now. What an answer that was lost has put right is not
    /// among them.
    pub fn counted(&self) -> i64 {
        self.counted
    }

    /// How many were counted, and are not there any more. Likewise.
    pub fn released(&self) -> i64 {
        self.released
    }

    /// What is used of the level afterwards.
    pub fn used(&self) -> i64 {
        self.used
    }

    /// How the level stands to its limit afterwards. [`LimitReason::TenantDenied`] and
    /// [`LimitReason::NotFound`]: there is no such tenant or limit, and nothing was put right.
    pub fn reason(&self) -> LimitReason {
        self.reason
    }

    /// With what another range came to, after this one.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            counted: self.counted.saturating_add(next.counted),
            released: self.released.saturating_add(next.released),
            ..next
        }
    }
}
