//! Tenants in time zones of their own, and tenants that change theirs.

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    domain::Role,
    proto::v1::{
        CheckLimitRequest, QueryUsageRequest, SetTimeZoneRequest, TimeZoneChange,
        UsageGranularity as Granularity, UsageSpan,
    },
};
use tonic::Request;

use crate::{
    admin::Admin,
    harness::{Database, NOW, Row, Server, dice::Dice, id, until_so},
    on_both,
    usage::{Client, ORDERS, client, mk_customer, order, reserve, timestamp},
};

const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A month that begins in the zone of a tenant of its own.
async fn mk_zone(database: &Database, tenant: u32, from: &str, zone: &str) {
    let tenant = database.uuid(&id(tenant));
    let values = format!("({tenant}, '{from}', '{zone}')");
    database
        .execute(&format!(
            "INSERT INTO entitlement_time_zones (tenant_id, from_month, zone) VALUES {values}"
        ))
        .await;
}

async fn second_customer(database: &Database) {
    mk_customer(database).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    database.put_on_plan(2, "starter").await;
    database.limit_of_plan("starter", "max_transactions_monthly", "100000").await;
}

/// What is used of the present month, and when that ends.
async fn checked(server: &Server, tenant: u32) -> (i64, DateTime<Utc>) {
    let request = CheckLimitRequest {
        tenant_id: id(tenant),
        limit_key: ORDERS.into(),
        amount: 1,
        ..Default::default()
    };
    let answer = server.client.clone().check_limit(request).await.unwrap().into_inner();
    (answer.used, instant(answer.resets_at))
}

fn instant(timestamp: Option<prost_types::Timestamp>) -> DateTime<Utc> {
    DateTime::from_timestamp(timestamp.unwrap().seconds, 0).unwrap()
}

async fn take(client: &mut Client, tenant: u32, key: &str, amount: i64) {
    let mut request = order(key, amount);
    request.tenant_id = id(tenant);
    assert!(reserve(client, request).await.granted);
}

/// From which month a key was taken, and on which day it is summed up.
async fn counted_in(database: &Database, key: &str) -> [String; 2] {
    let row = format!("SELECT period, day FROM entitlement_usage_keys WHERE key = '{key}'");
    let row = database.one(&row).await;
    ["period", "day"].map(|column| row.try_get("", column).unwrap())
}

async fn spans(client: &mut Client, tenant: u32, granularity: Granularity) -> Vec<UsageSpan> {
    let [start, end] = ["2026-10-01T00:00:00Z", "2027-06-01T00:00:00Z"].map(at);
    let request = QueryUsageRequest {
        tenant_id: id(tenant),
        meter: ORDERS.into(),
        start_time: Some(timestamp(start)),
        end_time: Some(timestamp(end)),
        granularity: granularity.into(),
        ..Default::default()
    };
    client.query_usage(request).await.unwrap().into_inner().spans
}

/// Spans follow each other, and each month is the sum of what lies in it, however it is asked.
async fn sums_agree(client: &mut Client, tenant: u32) -> i64 {
    let months = spans(client, tenant, Granularity::Month).await;
    for granularity in [Granularity::Day, Granularity::Hour, Granularity::QuarterHour] {
        let parts = spans(client, tenant, granularity).await;
        for pair in parts.windows(2) {
            assert!(instant(pair[0].end_time) <= instant(pair[1].start_time), "{pair:?}");
        }
        for month in &months {
            let [start, end] = [month.start_time, month.end_time].map(instant);
            let within = |part: &&UsageSpan| {
                start <= instant(part.start_time) && instant(part.end_time) <= end
            };
            let sum: i64 = parts.iter().filter(within).map(|part| part.amount).sum();
            assert_eq!(sum, month.amount, "{granularity:?} {month:?}");
        }
    }
    months.iter().map(|month| month.amount).sum()
}

/// A server with two customers that administrators may change, at an instant.
async fn changeable(database: Database, now: DateTime<Utc>) -> (Admin, Client) {
    second_customer(&database).await;
    let flags = ["--changes", "auto", "--poll-interval", "20ms", "--enforce-limits", "on"];
    let admin = Admin::of(database, &flags).await;
    admin.server.clock.advance(now - NOW);
    let client = client(&admin.server).await;
    (admin, client)
}

/// Sets a zone, and waits until the server knows it.
async fn set_zone(admin: &mut Admin, tenant: u32, zone: &str) -> TimeZoneChange {
    let request =
        SetTimeZoneRequest { tenant: id(tenant), time_zone: zone.into(), ..Default::default() };
    let request: Request<_> = admin.by(Role::Operator, request);
    let change = admin.features.set_time_zone(request).await.unwrap().into_inner().change.unwrap();
    let request = CheckLimitRequest {
        tenant_id: id(tenant),
        limit_key: ORDERS.into(),
        min_revision: Some(change.revision),
        ..Default::default()
    };
    admin.server.client.check_limit(request).await.unwrap();
    change
}

on_both! {
    async fn two_tenants_are_in_different_months_at_the_same_instant(server: Server) {
        let database = server.database.again().await;
        second_customer(&database).await;
        mk_zone(&database, 1, "2026-01", "Asia/Kolkata").await;
        let begins = at("2026-11-30T18:30:00Z");
        let flags = ["--changes", "off", "--enforce-limits", "on"];
        let server = Server::start_at(begins - MICROSECOND, database.again().await, &flags).await;
        let mut client = client(&server).await;
        let (december, january) = (at("2026-12-01T00:00:00Z"), at("2026-12-31T18:30:00Z"));
        for tenant in [1, 2] {
            take(&mut client, tenant, &format!("before-{tenant}"), 3).await;
        }
        assert_eq!(checked(&server, 1).await, (3, begins));
        assert_eq!(checked(&server, 2).await, (3, december));
        server.clock.advance(MICROSECOND);
        assert_eq!(checked(&server, 1).await, (0, january));
        assert_eq!(checked(&server, 2).await, (3, december));
        for tenant in [1, 2] {
            take(&mut client, tenant, &format!("after-{tenant}"), 4).await;
        }
        assert_eq!(checked(&server, 1).await, (4, january));
        assert_eq!(checked(&server, 2).await, (7, december));
        for (key, period, day) in [
            ("before-1", "2026-11", "2026-11-30"),
            ("after-1", "2026-12", "2026-12-01"),
            ("before-2", "2026-11", "2026-11-30"),
            ("after-2", "2026-11", "2026-11-30"),
        ] {
            assert_eq!(counted_in(&database, key).await, [period, day], "{key}");
        }
        assert_eq!(sums_agree(&mut client, 1).await, 7);
        assert_eq!(sums_agree(&mut client, 2).await, 7);
        database.verify_usage().await;
    }

    async fn a_zone_to_the_east_shortens_the_month_that_it_is_changed_in_and_starts_no_counter_anew(server: Server) {
        let (mut admin, mut client) =
            changeable(server.database.again().await, at("2026-11-12T09:00:00Z")).await;
        let database = admin.server.database.again().await;
        take(&mut client, 1, "early", 1).await;
        let end = at("2026-12-01T00:00:00Z");
        assert_eq!(checked(&admin.server, 1).await, (1, end));
        let change = set_zone(&mut admin, 1, "Asia/Kolkata").await;
        assert_eq!(change.after.unwrap().next.unwrap().month, "2026-12");
        // It is the same counter, and it ends sooner.
        let end = at("2026-11-30T18:30:00Z");
        assert_eq!(checked(&admin.server, 1).await, (1, end));
        take(&mut client, 1, "same-month", 2).await;
        admin.server.clock.advance(end - at("2026-11-12T09:00:00Z") - MICROSECOND);
        assert_eq!(checked(&admin.server, 1).await, (3, end));
        take(&mut client, 1, "last", 4).await;
        admin.server.clock.advance(MICROSECOND);
        assert_eq!(checked(&admin.server, 1).await, (0, at("2026-12-31T18:30:00Z")));
        assert_eq!(checked(&admin.server, 2).await, (0, at("2026-12-01T00:00:00Z")));
        take(&mut client, 1, "first", 8).await;
        for (key, period, day) in [
            ("early", "2026-11", "2026-11-12"),
            ("same-month", "2026-11", "2026-11-12"),
            ("last", "2026-11", "2026-11-30"),
            ("first", "2026-12", "2026-12-01"),
        ] {
            assert_eq!(counted_in(&database, key).await, [period, day], "{key}");
        }
        let months = spans(&mut client, 1, Granularity::Month).await;
        let bounds: Vec<_> =
            months.iter().map(|it| (instant(it.start_time), instant(it.end_time), it.amount)).collect();
        let (november, january) = (at("2026-11-01T00:00:00Z"), at("2026-12-31T18:30:00Z"));
        assert_eq!(bounds, [(november, end, 7), (end, january, 8)]);
        assert_eq!(sums_agree(&mut client, 1).await, 15);
        database.verify_usage().await;
    }

    async fn a_zone_to_the_west_lengthens_the_last_day_of_the_month_that_it_is_changed_in(server: Server) {
        let (mut admin, mut client) =
            changeable(server.database.again().await, at("2026-11-12T09:00:00Z")).await;
        let database = admin.server.database.again().await;
        set_zone(&mut admin, 1, "America/New_York").await;
        let end = at("2026-12-01T05:00:00Z");
        assert_eq!(checked(&admin.server, 1).await, (0, end));
        admin.server.clock.advance(at("2026-12-01T00:00:00Z") - at("2026-11-12T09:00:00Z"));
        // The others are in December.
        for (tenant, key) in [(1, "overtime"), (2, "other")] {
            take(&mut client, tenant, key, 2).await;
        }
        assert_eq!(counted_in(&database, "overtime").await, ["2026-11", "2026-11-30"]);
        assert_eq!(counted_in(&database, "other").await, ["2026-12", "2026-12-01"]);
        admin.server.clock.advance(TimeDelta::hours(5) - MICROSECOND);
        take(&mut client, 1, "last", 4).await;
        admin.server.clock.advance(MICROSECOND);
        take(&mut client, 1, "first", 8).await;
        assert_eq!(counted_in(&database, "last").await, ["2026-11", "2026-11-30"]);
        assert_eq!(counted_in(&database, "first").await, ["2026-12", "2026-12-01"]);
        let days = spans(&mut client, 1, Granularity::Day).await;
        let bounds: Vec<_> =
            days.iter().map(|it| (instant(it.start_time), instant(it.end_time), it.amount)).collect();
        let (last_day, second) = (at("2026-11-30T00:00:00Z"), at("2026-12-02T05:00:00Z"));
        assert_eq!(bounds, [(last_day, end, 6), (end, second, 8)]);
        assert_eq!(sums_agree(&mut client, 1).await, 14);
        database.verify_usage().await;
    }

    // Half a year of orders and of changes of mind, most of both around ends of months.
    async fn nothing_is_lost_or_counted_twice_however_often_the_zone_is_changed(server: Server) {
        let (mut admin, mut client) =
            changeable(server.database.again().await, at("2026-11-25T00:00:00Z")).await;
        let zones = [
            "", "Asia/Kolkata", "Europe/Paris", "Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns",
        ];
        let mut dice = Dice::of(20_261_130, 24);
        let (mut now, mut taken, mut last) = (at("2026-11-25T00:00:00Z"), 0, "2026-11".to_owned());
        for number in 0..120 {
            let step = match dice.below(4) {
                0 => TimeDelta::days(6) + TimeDelta::minutes(dice.below(1440) as i64),
                1 => TimeDelta::minutes(1 + dice.below(900) as i64),
                // To the next end of a month, or just before it.
                _ => (checked(&admin.server, 1).await.1 - now).min(TimeDelta::days(9))
                    - MICROSECOND * i32::try_from(dice.below(2)).unwrap(),
            };
            let step = step.max(MICROSECOND);
            if now + step > at("2027-05-28T00:00:00Z") {
                break;
            }
            now += step;
            admin.server.clock.advance(step);
            if dice.once_in(4) {
                set_zone(&mut admin, 1, dice.pick(&zones)).await;
            }
            let (key, amount) = (format!("o-{number}"), 1 + dice.below(9) as i64);
            take(&mut client, 1, &key, amount).await;
            // Once more is the same order.
            assert!(reserve(&mut client, order(&key, amount)).await.repeated_request);
            taken += amount;
            let [period, day] = counted_in(&admin.server.database, &key).await;
            assert!(last <= period && day.starts_with(&period), "{key}: {last} {period} {day}");
            last = period;
        }
        assert!(last.as_str() > "2027-03", "{last}");
        assert_eq!(sums_agree(&mut client, 1).await, taken);
        admin.server.database.verify_usage().await;
    }

    async fn a_row_that_is_written_by_hand_is_heard_of(server: Server) {
        let database = server.database.again().await;
        second_customer(&database).await;
        let server = Server::start_fed(database.again().await).await;
        let request = || entitlementd::proto::v1::CheckModuleRequest {
            tenant_id: id(1),
            module_code: "finance".into(),
            ..Default::default()
        };
        let revision = async || {
            let answer = server.client.clone().check_module(request()).await.unwrap().into_inner();
            answer.freshness.unwrap().revision
        };
        let before = revision().await;
        let ends = checked(&server, 1).await.1;
        for (sql, expected) in [
            ("INSERT INTO entitlement_time_zones VALUES (TENANT, '2026-12', 'Asia/Kolkata')", "2026-11-30T18:30:00Z"),
            ("UPDATE entitlement_time_zones SET zone = 'Europe/Paris'", "2026-11-30T23:00:00Z"),
            // There is no such zone: the one before it holds on.
            ("UPDATE entitlement_time_zones SET zone = 'Mars/Phobos'", "2026-12-01T00:00:00Z"),
            ("UPDATE entitlement_time_zones SET zone = 'America/New_York'", "2026-12-01T05:00:00Z"),
            ("DELETE FROM entitlement_time_zones", "2026-12-01T00:00:00Z"),
        ] {
            database.execute(&sql.replace("TENANT", &database.uuid(&id(1)))).await;
            until_so(sql, async || checked(&server, 1).await.1 == at(expected)).await;
        }
        assert_eq!(checked(&server, 1).await.1, ends);
        assert_eq!(revision().await, before + 5);
        for bad in ["'2026-13', 'UTC'", "'2026-1', 'UTC'", "'', 'UTC'", "'2026-00', 'UTC'", "NULL, 'UTC'", "'2026-12', NULL"] {
            let tenant = database.uuid(&id(1));
            let sql = format!("INSERT INTO entitlement_time_zones VALUES ({tenant}, {bad})");
            database.try_execute(&sql).await.unwrap_err();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_erp_has_logged_is_counted_in_the_month_and_reported_on_the_day_of_its_tenant() {
    let database = Database::postgres().await;
    second_customer(&database).await;
    mk_zone(&database, 1, "2026-12", "Asia/Kolkata").await;
    // Folded days later: the instant of the call counts.
    let insert = |tenant: u32, key: &str, used_at: &str| {
        format!(
            "INSERT INTO entitlement_usage_log (tenant_id, meter, key, amount, module_code, used_at)
             VALUES ('{}', '{ORDERS}', '{key}', 2, '', '{used_at}')",
            id(tenant)
        )
    };
    for tenant in [1, 2] {
        for (key, used_at) in
            [("old", "2026-11-30T18:29:59.999999Z"), ("new", "2026-11-30T18:30:00Z")]
        {
            database.execute(&insert(tenant, &format!("{key}-{tenant}"), used_at)).await;
        }
    }
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let server = Server::start_at(at("2026-12-20T00:00:00Z"), database.again().await, &flags).await;
    let left = "SELECT count(*) AS number FROM entitlement_usage_log";
    until_so("the log is counted", async || {
        server.database.one(left).await.try_get::<i64>("", "number").unwrap() == 0
    })
    .await;
    for (key, month, day) in [
        ("old-1", "2026-11", "2026-11-30"),
        ("new-1", "2026-12", "2026-12-01"),
        ("old-2", "2026-11", "2026-11-30"),
        ("new-2", "2026-11", "2026-11-30"),
    ] {
        assert_eq!(counted_in(&database, key).await, [month, day], "{key}");
    }
    let mut client = client(&server).await;
    for tenant in [1, 2] {
        assert_eq!(sums_agree(&mut client, tenant).await, 4);
    }
    let store = crate::folding::open(&database).await;
    while store.report_usage(None, chrono_tz::UTC).await.unwrap().last.is_some() {}
    let reported = database
        .one(
            "SELECT string_agg(concat_ws(' ', right(tenant_id::text, 1), metric_value::bigint,
                               to_char(recorded_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI')), ', ' ORDER BY tenant_id, recorded_at) AS days
             FROM usage_metrics",
        )
        .await;
    assert_eq!(
        reported.try_get::<String>("", "days").unwrap(),
        "1 2 11-30 00:00, 1 2 11-30 18:30, 2 4 11-30 00:00"
    );
    database.verify_usage().await;
}
