//! Where a month ends in a zone whose clocks are odd: the last millisecond counts in the one, the first
//! in the next.

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::proto::v1::{CheckLimitRequest, ReserveUsageResponse};

use crate::{
    harness::{Database, Server, id},
    on_both,
    usage::{Client, ORDERS, client, mk_customer, order, release, reserve, timestamp},
};

const MILLISECOND: TimeDelta = TimeDelta::milliseconds(1);

/// An end of a month, the month that ends, the one that begins, and when that ends.
type End = (&'static str, &'static str, &'static str, &'static str);

const KOLKATA: &[End] = &[
    ("2026-11-30T18:30:00Z", "2026-11", "2026-12", "2026-12-31T18:30:00Z"),
    ("2026-12-31T18:30:00Z", "2026-12", "2027-01", "2027-01-31T18:30:00Z"),
    ("2028-02-29T18:30:00Z", "2028-02", "2028-03", "2028-03-31T18:30:00Z"),
];

/// Clocks are changed on the last Sundays of March and October: in 2024 and 2027 these were the last
/// days.
const PARIS: &[End] = &[
    ("2024-02-29T23:00:00Z", "2024-02", "2024-03", "2024-03-31T22:00:00Z"),
    ("2024-03-31T22:00:00Z", "2024-03", "2024-04", "2024-04-30T22:00:00Z"),
    ("2026-03-31T22:00:00Z", "2026-03", "2026-04", "2026-04-30T22:00:00Z"),
    ("2026-09-30T22:00:00Z", "2026-09", "2026-10", "2026-10-31T23:00:00Z"),
    ("2026-10-31T23:00:00Z", "2026-10", "2026-11", "2026-11-30T23:00:00Z"),
    ("2027-10-31T23:00:00Z", "2027-10", "2027-11", "2027-11-30T23:00:00Z"),
];

/// Samoa went over the date line: 29 December 2011 was followed by the 31st.
const APIA: &[End] = &[
    ("2011-12-01T10:00:00Z", "2011-11", "2011-12", "2011-12-31T10:00:00Z"),
    ("2011-12-31T10:00:00Z", "2011-12", "2012-01", "2012-01-31T10:00:00Z"),
    ("2012-01-31T10:00:00Z", "2012-01", "2012-02", "2012-02-29T10:00:00Z"),
];

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The month that a key was taken from.
async fn month_of(database: &Database, key: &str) -> String {
    let row = format!("SELECT period FROM entitlement_usage_keys WHERE key = '{key}'");
    database.one(&row).await.try_get("", "period").unwrap()
}

/// What is used of the present month, as a reservation says, and when that ends.
fn used_until(response: ReserveUsageResponse) -> (bool, i64, Option<prost_types::Timestamp>) {
    let state = response.state.unwrap();
    (response.granted, state.used, state.resets_at)
}

/// The same as a check says, which reads the counter.
async fn checked(server: &mut Server) -> (i64, Option<prost_types::Timestamp>) {
    let request = CheckLimitRequest {
        tenant_id: id(1),
        limit_key: ORDERS.into(),
        amount: 1,
        ..Default::default()
    };
    let answer = server.client.check_limit(request).await.unwrap().into_inner();
    (answer.used, answer.resets_at)
}

async fn in_zone(database: &Database, zone: &str, start: DateTime<Utc>) -> (Server, Client) {
    for table in ["keys", "counters", "days"] {
        database.execute(&format!("DELETE FROM entitlement_usage_{table}")).await;
    }
    let flags = ["--changes", "off", "--enforce-limits", "on", "--time-zone", zone];
    let server = Server::start_at(start, database.again().await, &flags).await;
    let client = client(&server).await;
    (server, client)
}

async fn months_end(database: &Database, zone: &str, ends: &[End]) {
    for (end, old, new, next_end) in ends {
        let (end, next_end) = (at(end), at(next_end));
        let (mut server, mut client) = in_zone(database, zone, end - MILLISECOND).await;
        // The month is full in its last millisecond.
        let last = used_until(reserve(&mut client, order("last", 10)).await);
        assert_eq!(last, (true, 10, Some(timestamp(end))), "{zone} {old}");
        let refused = used_until(reserve(&mut client, order("refused", 1)).await);
        assert_eq!(refused, (false, 10, Some(timestamp(end))), "{zone} {old}");
        assert_eq!(checked(&mut server).await, (10, Some(timestamp(end))), "{zone} {old}");

        server.clock.advance(MILLISECOND);
        assert_eq!(checked(&mut server).await, (0, Some(timestamp(next_end))), "{zone} {new}");
        let first = used_until(reserve(&mut client, order("first", 4)).await);
        assert_eq!(first, (true, 4, Some(timestamp(next_end))), "{zone} {new}");
        for (key, month) in [("last", old), ("first", new)] {
            assert_eq!(month_of(database, key).await, **month, "{zone}");
        }
        assert_eq!(release(&mut client, ORDERS, "last").await.state.unwrap().used, 4, "{zone}");

        // The whole of a month is one month.
        server.clock.advance(next_end - end - MILLISECOND);
        let still = used_until(reserve(&mut client, order("still", 6)).await);
        assert_eq!(still, (true, 10, Some(timestamp(next_end))), "{zone} {new}");
        database.verify_usage().await;
    }
}

on_both! {
    async fn months_end_half_an_hour_off_in_kolkata(server: Server) {
        mk_customer(&server.database).await;
        months_end(&server.database, "Asia/Kolkata", KOLKATA).await;
    }

    async fn months_end_right_next_to_both_changes_of_clocks_in_paris(server: Server) {
        mk_customer(&server.database).await;
        months_end(&server.database, "Europe/Paris", PARIS).await;
    }

    async fn months_end_right_where_a_day_was_left_out_in_samoa(server: Server) {
        mk_customer(&server.database).await;
        months_end(&server.database, "Pacific/Apia", APIA).await;
        // The day that there never was is no end: the month goes on.
        let left_out = at("2011-12-30T10:00:00Z");
        let (server, mut client) =
            in_zone(&server.database, "Pacific/Apia", left_out - MILLISECOND).await;
        let end = Some(timestamp(at("2011-12-31T10:00:00Z")));
        assert_eq!(used_until(reserve(&mut client, order("29th", 3)).await), (true, 3, end));
        server.clock.advance(MILLISECOND);
        assert_eq!(used_until(reserve(&mut client, order("31st", 3)).await), (true, 6, end));
    }
}
