//! Days and calendar months in a time zone. Those of one zone tile time: where clocks are set back over
//! the beginning of one, it begins the first time, and where they are set forward over it, at that
//! instant. Those of a tenant that changes its zone do too: see [`Zones`].

mod zones;

use std::fmt;

use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

pub use self::zones::{MonthZone, ZoneFrom, ZoneStanding, Zones, parse_zone};

/// A day.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Day(NaiveDate);

impl Day {
    /// The day of an instant.
    pub fn at(instant: DateTime<Utc>, zone: Tz) -> Self {
        let shown = Self::shown_at(instant, zone);
        // Clocks that were set back show the day before again.
        if shown.next().start(zone) <= instant { shown.next() } else { shown }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// What a calendar on the wall shows.
    fn shown_at(instant: DateTime<Utc>, zone: Tz) -> Self {
        Self(instant.with_timezone(&zone).date_naive())
    }

    /// When it begins.
    pub fn start(self, zone: Tz) -> DateTime<Utc> {
        match zone.from_local_datetime(&self.0.and_time(chrono::NaiveTime::MIN)) {
            LocalResult::Single(start) | LocalResult::Ambiguous(start, _) => start.to_utc(),
            LocalResult::None => self.start_in_gap(zone),
        }
    }

    /// When it begins if no clock of the zone showed that: the instant at which they were set
    /// forward over it.
    fn start_in_gap(self, zone: Tz) -> DateTime<Utc> {
        // No offset is longer than a day, and a day is the most that was ever left out.
        let midnight = self.0.and_time(chrono::NaiveTime::MIN).and_utc();
        let (mut before, mut after) =
            (midnight - TimeDelta::days(2), midnight + TimeDelta::days(2));
        while after - before > TimeDelta::seconds(1) {
            let middle = before + (after - before) / 2;
            if Self::shown_at(middle, zone) < self { before = middle } else { after = middle }
        }
        // Clocks are set at whole seconds.
        DateTime::from_timestamp(after.timestamp(), 0).unwrap_or(after)
    }

    /// The day after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX))
    }

    /// The month that it is of.
    pub fn month(self) -> Month {
        Month(Self(self.0.with_day(1).unwrap_or(self.0)))
    }
}

/// The stored form: `2026-11-30`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A calendar month: its first day.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Month(Day);

impl Month {
    /// The month of an instant.
    pub fn at(instant: DateTime<Utc>, zone: Tz) -> Self {
        Day::at(instant, zone).month()
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = text.len() == "2026-11".len();
        Day::parse(&format!("{text}-01")).filter(|_| is_whole).map(Day::month)
    }

    /// When it begins.
    pub fn start(self, zone: Tz) -> DateTime<Utc> {
        self.0.start(zone)
    }

    /// The month after it.
    #[must_use]
    pub fn next(self) -> Self {
        let Day(first) = self.0;
        Self(Day(first.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX)))
    }

    /// The month before it.
    #[must_use]
    pub fn previous(self) -> Self {
        let Day(first) = self.0;
        Self(Day(first.checked_sub_months(Months::new(1)).unwrap_or(NaiveDate::MIN)))
    }

    /// Its first day.
    pub fn first_day(self) -> Day {
        self.0
    }

    /// Its last day.
    pub fn last_day(self) -> Day {
        let Day(after) = self.next().0;
        Day(after.pred_opt().unwrap_or(NaiveDate::MAX))
    }
}

/// The stored form: `2026-11`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Day(first) = self.0;
        write!(f, "{:04}-{:02}", first.year(), first.month())
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
            let mut month = Day::parse("1970-01-01").unwrap().month();
            while month < Day::parse("2060-01-01").unwrap().month() {
                let (start, end) = (month.start(name), month.next().start(name));
                assert!(start < end, "{name} {month}");
                assert_eq!(Month::at(start, name), month, "{name}");
                assert_eq!(Month::at(end - TimeDelta::microseconds(1), name), month, "{name}");
                month = month.next();
            }
        }
    }

    #[test]
    fn a_day_lasts_until_the_next_begins_whatever_the_clocks_do() {
        for (name, day, hours) in [
            ("UTC", "2026-11-30", 24),
            ("Asia/Kolkata", "2026-11-30", 24),
            ("Europe/Paris", "2026-03-29", 23),
            ("Europe/Paris", "2026-10-25", 25),
            // Left out altogether: it is over when it begins.
            ("Pacific/Apia", "2011-12-30", 0),
            // Clocks are set forward at midnight.
            ("America/Havana", "2026-03-08", 23),
        ] {
            let (day, zone) = (Day::parse(day).unwrap(), zone(name));
            let (start, end) = (day.start(zone), day.next().start(zone));
            assert_eq!((end - start).num_hours(), hours, "{name}");
            if hours > 0 {
                let last = end - TimeDelta::microseconds(1);
                assert_eq!([Day::at(start, zone), Day::at(last, zone)], [day; 2], "{name}");
            }
        }
    }
}
