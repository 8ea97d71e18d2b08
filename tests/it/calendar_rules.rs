//! Properties of the months and days of tenants that change their time zones, over zones and changes
//! that proptest makes up.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use entitlementd::domain::calendar::{Month, ZoneFrom, Zones};
use proptest::{collection::vec, option, prelude::*};

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

/// The zone of its own that a tenant has in a month.
fn own_of(zones: &Zones, month: Month) -> Option<Tz> {
    let present = zones.standing(zones.month_start(month)).present;
    present.is_own.then_some(present.zone)
}

/// Half an hour off, both changes of clocks, a day that was left out, clocks that were set forward at
/// a minute past midnight, and both ends of the world.
const ZONES: [&str; 8] = [
    "UTC",
    "Asia/Kolkata",
    "Europe/Paris",
    "Pacific/Apia",
    "America/St_Johns",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
    "America/New_York",
];

const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

/// Of the years in which these zones have had their oddities: 2006 to 2030.
fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    (1_136_073_600..1_893_456_000_i64)
        .prop_map(|second| DateTime::from_timestamp(second, 0).unwrap())
}

/// What is just before, at and after a beginning is likelier than chance has it.
fn near(start: DateTime<Utc>) -> [DateTime<Utc>; 3] {
    [start - MICROSECOND, start, start + MICROSECOND]
}

fn any_zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(&ZONES[..]).prop_map(zone)
}

/// Zones that change in some of the months from 2011 to 2013, or are changed back.
fn any_zones() -> impl Strategy<Value = Zones> {
    let row = (0..36_u32, option::weighted(0.8, any_zone()));
    (any_zone(), vec(row, 0..6)).prop_map(|(servers, rows)| {
        let own: BTreeMap<Month, Option<Tz>> = rows
            .into_iter()
            .map(|(number, zone)| {
                let (year, number) = (2011 + number / 12, number % 12 + 1);
                (month(&format!("{year}-{number:02}")), zone)
            })
            .collect();
        let own = own.into_iter().map(|(from, zone)| ZoneFrom { from, zone });
        Zones::new(servers, own.collect())
    })
}

fn is_of_one_month_and_one_day(zones: &Zones, at: DateTime<Utc>) -> Result<(), TestCaseError> {
    let (month, day) = (zones.month_at(at), zones.day_at(at));
    prop_assert!(zones.month_start(month) <= at && at < zones.month_end(month), "{} {}", at, month);
    prop_assert!(zones.day_start(day) <= at && at < zones.day_start(day.next()), "{} {}", at, day);
    prop_assert_eq!(day.month(), month);
    let [start, end] = zones.hour_at(at);
    prop_assert!(start <= at && at < end && end - start <= TimeDelta::hours(1), "{} {}", at, start);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_instant_is_of_exactly_one_month_and_one_day_of_it(zones in any_zones(), at in any_instant()) {
        is_of_one_month_and_one_day(&zones, at)?;
        let month = zones.month_at(at);
        for edge in [zones.month_start(month), zones.month_end(month), zones.day_start(zones.day_at(at))] {
            for at in near(edge) {
                is_of_one_month_and_one_day(&zones, at)?;
            }
        }
    }

    #[test]
    fn months_and_days_follow_each_other_without_a_gap_and_never_go_back(zones in any_zones()) {
        let mut month = month("2010-11");
        while month < self::month("2014-03") {
            let (start, end) = (zones.month_start(month), zones.month_end(month));
            prop_assert!(start < end);
            prop_assert_eq!(zones.month_at(start), month);
            prop_assert_eq!(zones.month_at(end - MICROSECOND), month);
            prop_assert_eq!(zones.month_at(end), month.next());
            let (mut day, mut begun) = (month.first_day(), start);
            prop_assert_eq!(zones.day_start(day), start);
            while day <= month.last_day() {
                let ends = zones.day_start(day.next());
                prop_assert!(begun <= ends, "{}", day);
                if begun < ends {
                    prop_assert_eq!([zones.day_at(begun), zones.day_at(ends - MICROSECOND)], [day; 2]);
                }
                (day, begun) = (day.next(), ends);
            }
            prop_assert_eq!(begun, end);
            month = month.next();
        }
    }

    #[test]
    fn a_change_leaves_alone_what_has_begun_and_holds_from_a_month_on(
        zones in any_zones(), wanted in option::of(any_zone()), now in any_instant(), past in any_instant()
    ) {
        let (after, from) = zones.change(wanted, now);
        prop_assert_eq!(own_of(&after, from), wanted);
        prop_assert_eq!(after.standing(zones.month_start(from.next())).next, None);
        prop_assert!(after.own().is_sorted_by(|one, other| one.from < other.from));
        // Also what was accepted from clocks that are ahead, and what is leased.
        let known = now + TimeDelta::minutes(10);
        for at in [past.min(known), known, now] {
            prop_assert_eq!(zones.month_at(at), after.month_at(at));
            prop_assert_eq!(zones.day_at(at), after.day_at(at));
        }
        // Once more changes nothing, and the one before is as good as before.
        prop_assert_eq!(&after.change(wanted, now).0, &after);
        let back = after.change(own_of(&zones, from.previous()), now).0;
        prop_assert_eq!(own_of(&back, from), own_of(&zones, from.previous()));
    }
}
