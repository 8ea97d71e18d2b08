//! Signed leases: until when what was decided may be relied on without asking again.
//!
//! They have nothing to do with the leases of usage, which are slices of a limit.

use chrono::{DateTime, TimeDelta, Utc};

use super::Decision;

/// When a signed lease begins and ends. Both are whole seconds, as the instants in a JWT are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseTerm {
    /// When it was issued: at this instant or within a second after it.
    pub issued_at: DateTime<Utc>,
    /// It holds before this instant, and not at it.
    pub expires_at: DateTime<Utc>,
}

impl LeaseTerm {
    /// The term of a lease that is issued `now`. `wanted` is how long its caller wants it (`None`: as
    /// long as may be), `longest` how long a lease may be, and `relied_on_until` until when what is
    /// decided from may be relied on (`None`: it is what the database says). `None`: not even for a
    /// second.
    pub fn new(
        now: DateTime<Utc>,
        wanted: Option<TimeDelta>,
        longest: TimeDelta,
        relied_on_until: Option<DateTime<Utc>>,
    ) -> Option<Self> {
        let issued_at = to_the_second(now);
        let span = wanted.map_or(longest, |wanted| wanted.min(longest));
        let end = to_the_second(issued_at.checked_add_signed(span)?);
        let expires_at = relied_on_until.map_or(end, |until| end.min(to_the_second(until)));
        (issued_at < expires_at).then_some(Self { issued_at, expires_at })
    }

    /// Until when the lease grants a module about which this was decided; `None`: it does not. Never
    /// beyond the lease's own end, nor beyond the next instant at which time alone changes the decision.
    pub fn grants_until(self, decision: Decision) -> Option<DateTime<Utc>> {
        let end = decision.valid_until.map_or(self.expires_at, to_the_second);
        let until = end.min(self.expires_at);
        (decision.allowed() && self.issued_at < until).then_some(until)
    }
}

/// The last whole second: an end is never moved to a later instant.
fn to_the_second(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(instant.timestamp(), 0).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_435_200_000 + millis).unwrap()
    }

    fn seconds(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    fn term(wanted: Option<i64>, relied_on_until: Option<i64>) -> Option<(i64, i64)> {
        let wanted = wanted.map(TimeDelta::milliseconds);
        let term = LeaseTerm::new(at(700), wanted, seconds(100), relied_on_until.map(at))?;
        let since = |instant: DateTime<Utc>| (instant - at(0)).num_milliseconds();
        Some((since(term.issued_at), since(term.expires_at)))
    }

    #[test]
    fn a_term_is_no_longer_than_wanted_or_allowed_or_than_what_it_rests_on_is_good() {
        for (wanted, relied_on_until, expected) in [
            (None, None, Some((0, 100_000))),
            (Some(60_000), None, Some((0, 60_000))),
            (Some(60_900), None, Some((0, 60_000))),
            (Some(101_000), None, Some((0, 100_000))),
            (Some(60_000), Some(30_999), Some((0, 30_000))),
            (Some(60_000), Some(90_000), Some((0, 60_000))),
            (Some(1_000), None, Some((0, 1_000))),
            (Some(999), None, None),
            (None, Some(999), None),
            (None, Some(-5_000), None),
        ] {
            assert_eq!(term(wanted, relied_on_until), expected, "{wanted:?} {relied_on_until:?}");
        }
    }

    #[test]
    fn a_module_is_granted_no_longer_than_its_right_lasts() {
        let term = LeaseTerm::new(at(700), None, seconds(100), None).unwrap();
        let until = |reason, valid_until: Option<i64>| {
            let decision = Decision { reason, line: 9, valid_until: valid_until.map(at) };
            term.grants_until(decision).map(|until| (until - at(0)).num_milliseconds())
        };
        assert_eq!(until(Reason::Enabled, None), Some(100_000));
        assert_eq!(until(Reason::Enabled, Some(200_000)), Some(100_000));
        assert_eq!(until(Reason::Enabled, Some(50_600)), Some(50_000));
        assert_eq!(until(Reason::Enabled, Some(900)), None, "it ends within this second");
        assert_eq!(until(Reason::NotSubscribed, None), None);
        assert_eq!(until(Reason::SubscriptionNotStarted, Some(50_000)), None);
    }
}
