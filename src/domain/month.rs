//! Calendar months in a time zone.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A calendar month. Months of one zone tile time: where clocks are set back over the beginning of a
/// month, it begins the first time, and where they are set forward over it, at that instant.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Month {
    year: i32,
    /// 1 to 12.
    month: u32,
}

impl Month {
    /// The month of an instant.
    pub fn at(instant: DateTime<Utc>, zone: Tz) -> Self {
        let month = Self::shown_at(instant, zone);
        // Clocks that were set back show the month before again.
        if month.next().start(zone) <= instant { month.next() } else { month }
    }

    /// What a calendar on the wall shows.
    fn shown_at(instant: DateTime<Utc>, zone: Tz) -> Self {
        let local = instant.with_timezone(&zone);
        Self { year: local.year(), month: local.month() }
    }

    /// When it begins.
    pub fn start(self, zone: Tz) -> DateTime<Utc> {
        let first = NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or(NaiveDate::MAX);
        let midnight = first.and_time(chrono::NaiveTime::MIN);
        match zone.from_local_datetime(&midnight) {
            LocalResult::Single(start) | LocalResult::Ambiguous(start, _) => start.to_utc(),
            LocalResult::None => self.start_in_gap(midnight, zone),
        }
    }

    /// When it begins if no clock of the zone showed that: the instant at which they were set
    /// forward over it.
    fn start_in_gap(self, midnight: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
        // No offset is longer than a day, and a day is the most that was ever left out.
        let mut before = midnight.and_utc() - TimeDelta::days(2);
        let mut after = midnight.and_utc() + TimeDelta::days(2);
        while after - before > TimeDelta::microseconds(1) {
            let middle = before + (after - before) / 2;
            if Self::shown_at(middle, zone) < self { before = middle } else { after = middle }
        }
        after
    }

    /// The month after it.
    #[must_use]
    pub fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { month: month + 1, ..self },
        }
    }
}

/// The stored form: `2026-11`.
impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> Tz {
        name.parse().unwrap()
    }

    #[test]
    fn a_month_begins_at_its_zones_midnight_and_the_instant_before_is_of_the_month_before() {
        for (name, start, month) in [
            ("UTC", "2026-12-01T00:00:00Z", "2026-12"),
            ("Asia/Kolkata", "2026-11-30T18:30:00Z", "2026-12"),
            ("Asia/Kathmandu", "2026-11-30T18:15:00Z", "2026-12"),
            ("America/New_York", "2026-11-01T04:00:00Z", "2026-11"),
            ("America/New_York", "2026-12-01T05:00:00Z", "2026-12"),
            ("Europe/Paris", "2026-03-31T22:00:00Z", "2026-04"),
            ("Europe/Paris", "2026-10-31T23:00:00Z", "2026-11"),
            ("Pacific/Apia", "2011-12-31T10:00:00Z", "2012-01"),
            ("Pacific/Kiritimati", "2026-12-31T10:00:00Z", "2027-01"),
        ] {
            let (start, zone) = (instant(start), zone(name));
            let begun = Month::at(start, zone);
            assert_eq!((begun.to_string().as_str(), begun.start(zone)), (month, start), "{name}");
            let before = Month::at(start - TimeDelta::microseconds(1), zone);
            assert_eq!(before.next(), begun, "{name}");
        }
    }

    #[test]
    fn where_the_first_was_left_out_the_month_begins_with_what_followed() {
        // Clocks in Samoa went from 29 to 31 December 2011, and in Kwajalein from 20 to 22 August
        // 1993; in Toronto, at 23:30 on 30 September 1918 or so, nothing of the kind: no zone that
        // is in use has left out the first of a month at midnight since 1970 but these.
        for name in chrono_tz::TZ_VARIANTS {
            let mut month = Month { year: 1970, month: 1 };
            while month.year < 2060 {
                let (start, end) = (month.start(name), month.next().start(name));
                assert!(start < end, "{name} {month}");
                assert_eq!(Month::at(start, name), month, "{name}");
                assert_eq!(Month::at(end - TimeDelta::microseconds(1), name), month, "{name}");
                month = month.next();
            }
        }
    }
}
