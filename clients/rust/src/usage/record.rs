//! What was used already, and is written down once.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Events of one message.
const MOST_EVENTS: usize = 500;
/// Text of one message's events: a server takes messages of 256 KiB.
const MOST_BYTES: usize = 160 * 1024;

/// Something that was used: it is written down whatever the limit.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use entitlement_client::UsageEvent;
/// use uuid::Uuid;
///
/// fn sold(tenant: Uuid, receipt: &str, at: DateTime<Utc>) -> UsageEvent {
///     UsageEvent::new(tenant, "transactions_monthly", receipt).module("pos").at(at)
/// }
///
/// fn taken_back(tenant: Uuid, receipt: &str) -> UsageEvent {
///     UsageEvent::new(tenant, "transactions_monthly", format!("void-{receipt}")).corrects(receipt)
/// }
/// # drop((sold(Uuid::nil(), "7", DateTime::UNIX_EPOCH), taken_back(Uuid::nil(), "7")));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct UsageEvent {
    pub(crate) tenant: Uuid,
    pub(crate) meter: String,
    /// Empty: it is a sum of a producer, which counts its messages.
    pub(crate) key: String,
    pub(crate) amount: i64,
    /// Empty: the tenant's own use.
    pub(crate) module: String,
    /// `None`: now.
    pub(crate) at: Option<DateTime<Utc>>,
    /// Empty: it corrects nothing.
    pub(crate) corrects: String,
}

impl UsageEvent {
    /// One of `meter`, which is the key of a monthly limit, now. `key` names what was used, such as
    /// the order's own id: 1 to 128 printable ASCII characters without blanks. The same key is
    /// counted once, whether it is recorded or reserved; what is held under it is taken for good.
    pub fn new(tenant: Uuid, meter: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            tenant,
            meter: meter.into(),
            key: key.into(),
            amount: 1,
            module: String::new(),
            at: None,
            corrects: String::new(),
        }
    }

    /// How much, 1 to 10^12; with [`corrects`](Self::corrects) how much is taken back. Default 1.
    pub fn amount(mut self, amount: i64) -> Self {
        self.amount = amount;
        self
    }

    /// The code of the module that it was used for, whether the tenant has it or not. Default: none is
    /// named.
    pub fn module(mut self, code: impl Into<String>) -> Self {
        self.module = code.into();
        self
    }

    /// When it was used: at most 5 minutes ahead of the server's clock, and as far back as the server
    /// accepts (35 days). Default: when the server reads it.
    pub fn at(mut self, instant: DateTime<Utc>) -> Self {
        self.at = Some(instant);
        self
    }

    /// The key that this takes back, in part or whole, from the day and the month that it was counted
    /// in. The module must be that of the key. The caller needs the service "usage-corrections".
    pub fn corrects(mut self, key: impl Into<String>) -> Self {
        self.corrects = key.into();
        self
    }

    fn bytes(&self) -> usize {
        let Self { meter, key, module, corrects, .. } = self;
        meter.len() + key.len() + module.len() + corrects.len()
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UsageOutcome {
    /// A newer server gave an outcome that this library does not know.
    #[default]
    Unspecified,
    /// It is counted.
    Counted,
    /// It was counted before. So it is too where an answer was lost and the library has sent it again.
    Repeated,
    /// Its key was counted with another amount, or names a lease or a correction.
    Conflict,
    /// It is older than the server accepts.
    TooLate,
    /// It lies ahead.
    TooEarly,
    /// There is no such tenant.
    UnknownTenant,
    /// There is no such limit, or it is a level.
    UnknownMeter,
    /// There is no such module.
    UnknownModule,
    /// A field of it is not as described.
    Invalid,
    /// The caller may not count this, or may not correct.
    NotAllowed,
    /// So much is not left of what it corrects, for this module.
    NothingToCorrect,
}

impl UsageOutcome {
    /// Is it counted, now or before?
    pub fn is_counted(self) -> bool {
        matches!(self, Self::Counted | Self::Repeated)
    }

    /// Its name in the server's API: `TOO_LATE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Counted => "COUNTED",
            Self::Repeated => "REPEATED",
            Self::Conflict => "CONFLICT",
            Self::TooLate => "TOO_LATE",
            Self::TooEarly => "TOO_EARLY",
            Self::UnknownTenant => "UNKNOWN_TENANT",
            Self::UnknownMeter => "UNKNOWN_METER",
            Self::UnknownModule => "UNKNOWN_MODULE",
            Self::Invalid => "INVALID",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NothingToCorrect => "NOTHING_TO_CORRECT",
        }
    }
}

impl fmt::Display for UsageOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is recorded in one go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Message {
    pub(crate) events: Vec<UsageEvent>,
    /// Who has added them up, and the number of this message of it; `None`: they have keys.
    pub(crate) producer: Option<(Uuid, u64)>,
}

/// The first events that one message takes; the others stay.
pub(crate) fn first_of(events: &mut impl Iterator<Item = UsageEvent>) -> Vec<UsageEvent> {
    let (mut first, mut bytes) = (Vec::new(), 0);
    while first.len() < MOST_EVENTS && bytes < MOST_BYTES {
        let Some(event) = events.next() else { break };
        bytes += event.bytes();
        first.push(event);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(events: Vec<UsageEvent>) -> Vec<usize> {
        let mut events = events.into_iter();
        let all = std::iter::from_fn(|| Some(first_of(&mut events).len()).filter(|it| *it > 0));
        all.collect()
    }

    #[test]
    fn a_message_takes_five_hundred_events_or_as_many_as_a_server_takes() {
        let event = |key: &str| UsageEvent::new(Uuid::nil(), "orders", key);
        assert_eq!(sizes(Vec::new()), [0; 0]);
        assert_eq!(sizes(vec![event("a"); 500]), [500]);
        assert_eq!(sizes(vec![event("a"); 1001]), [500, 500, 1]);
        assert_eq!(sizes(vec![event(&"a".repeat(MOST_BYTES)); 3]), [1, 1, 1]);
    }
}
