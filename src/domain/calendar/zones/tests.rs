use super::*;

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn month(text: &str) -> Month {
    Month::parse(text).unwrap()
}

fn zones(rows: &[(&str, Option<&str>)]) -> Zones {
    let own = rows.iter().map(|(from, name)| ZoneFrom { from: month(from), zone: name.map(zone) });
    Zones::new(Tz::UTC, own.collect())
}

#[test]
fn a_month_that_another_zone_follows_is_longer_or_shorter_by_the_difference() {
    // Kolkata is five hours and a half ahead.
    let east = zones(&[("2026-12", Some("Asia/Kolkata"))]);
    assert_eq!(east.month_start(month("2026-11")), instant("2026-11-01T00:00:00Z"));
    assert_eq!(east.month_end(month("2026-11")), instant("2026-11-30T18:30:00Z"));
    assert_eq!(east.day_start(Day::parse("2026-11-30").unwrap()), instant("2026-11-30T00:00:00Z"));
    assert_eq!(east.month_at(instant("2026-11-30T18:29:59Z")), month("2026-11"));
    assert_eq!(east.day_at(instant("2026-11-30T18:30:00Z")).to_string(), "2026-12-01");

    let west = zones(&[("2026-12", Some("America/New_York"))]);
    assert_eq!(west.month_end(month("2026-11")), instant("2026-12-01T05:00:00Z"));
    let overtime = instant("2026-12-01T04:59:59Z");
    assert_eq!(west.month_at(overtime), month("2026-11"));
    assert_eq!(west.day_at(overtime).to_string(), "2026-11-30");

    // From the one end of the world to the other, a day is left out.
    let far = zones(&[("2026-11", Some("Etc/GMT+12")), ("2026-12", Some("Pacific/Kiritimati"))]);
    let last = Day::parse("2026-11-30").unwrap();
    assert_eq!(far.day_start(last), far.day_start(last.next()));
    assert_eq!(far.day_at(instant("2026-11-30T09:59:59Z")).to_string(), "2026-11-29");
    assert_eq!(far.day_at(instant("2026-11-30T10:00:00Z")).to_string(), "2026-12-01");
}

#[test]
fn a_zone_holds_from_the_next_month_on_or_the_one_after_where_that_begins_right_away() {
    let servers = Zones::from(Tz::UTC);
    for (name, now, from) in [
        ("Asia/Kolkata", "2026-11-12T09:00:00Z", "2026-12"),
        ("Asia/Kolkata", "2026-11-30T18:14:59Z", "2026-12"),
        // December would begin in a quarter of an hour in Kolkata.
        ("Asia/Kolkata", "2026-11-30T18:15:00Z", "2027-01"),
        // It has begun there, and not here.
        ("Asia/Kolkata", "2026-11-30T20:00:00Z", "2027-01"),
        // It is about to begin here, and there in five hours.
        ("America/New_York", "2026-11-30T23:55:00Z", "2027-01"),
        ("America/New_York", "2026-12-01T00:00:00Z", "2027-01"),
    ] {
        let (after, first) = servers.change(Some(zone(name)), instant(now));
        assert_eq!(first, month(from), "{name} {now}");
        assert_eq!(after.own(), [ZoneFrom { from: first, zone: Some(zone(name)) }]);
    }
}

#[test]
fn what_has_not_begun_is_replaced_or_taken_back() {
    let now = instant("2026-11-12T09:00:00Z");
    let before = zones(&[("2026-01", Some("Europe/Paris")), ("2026-12", Some("Asia/Kolkata"))]);
    let paris = ZoneFrom { from: month("2026-01"), zone: Some(zone("Europe/Paris")) };
    let from_december = |zone| ZoneFrom { from: month("2026-12"), zone };
    let apia = Some(zone("Pacific/Apia"));
    assert_eq!(before.change(apia, now).0.own(), [paris, from_december(apia)]);
    assert_eq!(before.change(None, now).0.own(), [paris, from_december(None)]);
    assert_eq!(before.change(paris.zone, now).0.own(), [paris]);

    let standing = before.standing(now);
    assert_eq!((standing.present.zone, standing.present.is_own), (zone("Europe/Paris"), true));
    let next = standing.next.unwrap();
    assert_eq!((next.month, next.zone), (month("2026-12"), zone("Asia/Kolkata")));
    assert_eq!(next.starts_at, instant("2026-11-30T18:30:00Z"));
    let back = before.change(None, now).0.standing(now).next.unwrap();
    assert_eq!((back.zone, back.is_own), (Tz::UTC, false));
}

#[test]
fn a_month_is_read_as_it_is_stored() {
    assert_eq!(Month::parse("2026-11").unwrap().to_string(), "2026-11");
    for text in ["", "2026", "2026-13", "2026-1", "2026-11-01", "x026-11"] {
        assert_eq!(Month::parse(text), None, "{text}");
    }
    assert_eq!(month("2027-01").previous(), month("2026-12"));
    assert_eq!(month("2028-02").last_day().to_string(), "2028-02-29");
}
