//! The time zones of a tenant: each month is of one, and another holds from a month's beginning on.
//!
//! A month begins at midnight of its first day in its own zone, and ends where the next begins in that
//! one's. So when the zone changes, the month before is longer or shorter by the difference, and every
//! instant is of exactly one month, and of one day of it.

use std::sync::Arc;

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::{Day, Month};

/// A month for which the zone is changed must not begin sooner than this after the change, so that all
/// servers know it by then; that what was accepted from clocks that are ahead is of the month before, and
/// no lease that was taken before runs beyond its month.
const NOTICE: TimeDelta = TimeDelta::minutes(15);

/// What holds for a tenant from a month on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ZoneFrom {
    /// The first month that it holds for.
    pub from: Month,
    /// The zone; `None`: that of the servers.
    pub zone: Option<Tz>,
}

/// The time zones of a tenant, month by month.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zones {
    /// What holds where the tenant has none of its own.
    servers: Tz,
    /// Ordered by month.
    own: Arc<[ZoneFrom]>,
}

/// A zone, and a month that it holds for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MonthZone {
    /// The month.
    pub month: Month,
    /// When that begins.
    pub starts_at: DateTime<Utc>,
    /// Its zone.
    pub zone: Tz,
    /// Is that the tenant's own, rather than that of the servers?
    pub is_own: bool,
}

/// Which zone holds for a tenant at an instant, and which comes after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ZoneStanding {
    /// The month of the instant.
    pub present: MonthZone,
    /// The first month of another one; `None`: none is to come.
    pub next: Option<MonthZone>,
}

/// Reads what was wanted of a zone: its name in the IANA database, or nothing for that of the servers.
/// `Err`: there is no such zone.
pub fn parse_zone(name: &str) -> Result<Option<Tz>, chrono_tz::ParseError> {
    if name.is_empty() { Ok(None) } else { name.parse().map(Some) }
}

impl From<Tz> for Zones {
    /// Those of a tenant that has none of its own.
    fn from(servers: Tz) -> Self {
        Self { servers, own: Arc::default() }
    }
}

impl Zones {
    /// Those of a tenant with these of its own, ordered by month.
    pub fn new(servers: Tz, own: Arc<[ZoneFrom]>) -> Self {
        Self { servers, own }
    }

    /// The zone of a month.
    pub fn of(&self, month: Month) -> Tz {
        self.own_of(month).unwrap_or(self.servers)
    }

    /// The tenant's own zone of a month, if it has one.
    fn own_of(&self, month: Month) -> Option<Tz> {
        self.own.iter().rev().find(|own| own.from <= month)?.zone
    }

    /// When a month begins.
    pub fn month_start(&self, month: Month) -> DateTime<Utc> {
        month.start(self.of(month))
    }

    /// When a month ends: the first instant of the next.
    pub fn month_end(&self, month: Month) -> DateTime<Utc> {
        self.month_start(month.next())
    }

    /// The month of an instant.
    pub fn month_at(&self, instant: DateTime<Utc>) -> Month {
        let shown = Month::at(instant, self.servers);
        if self.own.is_empty() {
            return shown;
        }
        // All zones together are little more than a day apart.
        let has_begun = |month: &Month| self.month_start(*month) <= instant;
        [shown.next(), shown].into_iter().find(has_begun).unwrap_or(shown.previous())
    }

    /// The day of an instant: one of its month. The last day of a month that another zone follows may
    /// be longer or shorter than a day, or not be at all.
    pub fn day_at(&self, instant: DateTime<Utc>) -> Day {
        if self.own.is_empty() {
            return Day::at(instant, self.servers);
        }
        let month = self.month_at(instant);
        Day::at(instant, self.of(month)).clamp(month.first_day(), month.last_day())
    }

    /// When a day begins; it ends where the next begins.
    pub fn day_start(&self, day: Day) -> DateTime<Utc> {
        let month = day.month();
        let start = day.start(self.of(month));
        if self.own.is_empty() { start } else { start.min(self.month_end(month)) }
    }

    /// The hour that a clock of the zone shows at an instant: when it begins, and when it ends. It ends
    /// with its month at the latest.
    pub fn hour_at(&self, instant: DateTime<Utc>) -> [DateTime<Utc>; 2] {
        let month = self.month_at(instant);
        let offset = self.of(month).offset_from_utc_datetime(&instant.naive_utc()).fix();
        let shown = instant.timestamp() + i64::from(offset.local_minus_utc());
        let start = instant.timestamp() - shown.rem_euclid(TimeDelta::hours(1).num_seconds());
        let start = DateTime::from_timestamp(start, 0).unwrap_or(instant);
        let end = start + TimeDelta::hours(1);
        [start, if self.own.is_empty() { end } else { end.min(self.month_end(month)) }]
    }

    /// Those after another zone is wanted, and the first month that it holds for: the next, or the one
    /// after that where the next begins right away, in the one zone or in the other. What was to come
    /// before comes no more; no month that has begun is another one for it.
    pub fn change(&self, wanted: Option<Tz>, now: DateTime<Utc>) -> (Self, Month) {
        let zone = wanted.unwrap_or(self.servers);
        let begins = |month: Month| self.month_start(month).min(month.start(zone));
        let next = self.month_at(now).next();
        let from = if begins(next) > now + NOTICE { next } else { next.next() };
        let before = self.own.iter().copied().filter(|own| own.from < from);
        let is_same = self.own_of(from.previous()) == wanted;
        let new = (!is_same).then_some(ZoneFrom { from, zone: wanted });
        (Self { own: before.chain(new).collect(), ..self.clone() }, from)
    }

    /// What holds at an instant, and what is to come.
    pub fn standing(&self, at: DateTime<Utc>) -> ZoneStanding {
        let present = self.month_at(at);
        let of = |month: Month| MonthZone {
            month,
            starts_at: self.month_start(month),
            zone: self.of(month),
            is_own: self.own_of(month).is_some(),
        };
        let holds = self.own_of(present);
        let next = self.own.iter().find(|own| own.from > present && own.zone != holds);
        ZoneStanding { present: of(present), next: next.map(|own| of(own.from)) }
    }

    /// Those of its own, ordered by month.
    pub fn own(&self) -> &[ZoneFrom] {
        &self.own
    }
}

#[cfg(test)]
mod tests;
