//! ReserveUsage, ReleaseUsage and ReconcileUsage: counted once, never over.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::proto::v1::{
    DecisionReason, LimitEnforcement, LimitKind, LimitReason, LimitSource, ReconcileUsageRequest,
    ReconcileUsageResponse, ReleaseUsageRequest, ReleaseUsageResponse, ReserveUsageRequest,
    ReserveUsageResponse, usage_service_client::UsageServiceClient,
};
use entitlementd::store::usage::verify;
use prost_types::Timestamp;
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    harness::{
        Database, Row, Server, field_violations, id,
        pooler::Pooler,
        postgres,
        proxy::Proxy,
        reason_of,
        server::{NOW, connect},
    },
    on_both,
};

pub const ORDERS: &str = "transactions_monthly";
pub const USERS: &str = "users";

pub type Client = UsageServiceClient<Channel>;

pub fn order(key: &str, amount: i64) -> ReserveUsageRequest {
    ReserveUsageRequest {
        tenant_id: id(1),
        meter: ORDERS.to_owned(),
        key: key.to_owned(),
        amount,
        ..Default::default()
    }
}

pub fn user(key: &str) -> ReserveUsageRequest {
    ReserveUsageRequest { meter: USERS.to_owned(), ..order(key, 1) }
}

pub async fn client(server: &Server) -> Client {
    UsageServiceClient::new(connect(&server.running.address).await)
}

pub async fn reserve(client: &mut Client, request: ReserveUsageRequest) -> ReserveUsageResponse {
    client.reserve_usage(request).await.unwrap().into_inner()
}

pub async fn release(client: &mut Client, meter: &str, key: &str) -> ReleaseUsageResponse {
    let request = ReleaseUsageRequest {
        tenant_id: id(1),
        meter: meter.to_owned(),
        key: key.to_owned(),
        only_held: false,
    };
    client.release_usage(request).await.unwrap().into_inner()
}

/// Is it granted, how much of it, and was the key here before?
fn granted(response: &ReserveUsageResponse) -> (bool, i64, bool) {
    (response.granted, response.granted_amount, response.repeated_request)
}

/// What is used, held and left.
fn counted(response: &ReserveUsageResponse) -> (i64, i64, Option<i64>) {
    let state = response.state.as_ref().unwrap();
    (state.used, state.held, state.remaining)
}

fn why(response: &ReserveUsageResponse) -> LimitReason {
    response.state.as_ref().unwrap().reason()
}

pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: 0 }
}

/// A tenant on a plan with ten orders a month and three users.
pub async fn mk_customer(database: &Database) {
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.put_on_plan(1, "starter").await;
    database.limit_of_plan("starter", "max_transactions_monthly", "10").await;
    database.limit_of_plan("starter", "max_users", "3").await;
}

pub async fn started(database: Database, flags: &[&str]) -> (Server, Client) {
    mk_customer(&database).await;
    let fixed = ["--changes", "off", "--enforce-limits", "on"];
    let server = Server::start_with(database, &[&fixed, flags].concat()).await;
    let client = client(&server).await;
    (server, client)
}

impl Database {
    /// Is every counter the sum of its keys, and of its days?
    pub async fn verify_usage(&self) {
        use sea_orm::ConnectionTrait;
        let wrong = self.connection.query_all_raw(sea_orm::Statement::from_string(
            self.connection.get_database_backend(),
            verify("1970-01"),
        ));
        let number = |row: &sea_orm::QueryResult, column| row.try_get::<i64>("", column).unwrap();
        let columns = ["used", "held", "counted", "held_keys", "days"];
        let wrong: Vec<_> = wrong
            .await
            .unwrap()
            .iter()
            .map(|row| {
                let meter: [String; 2] = ["meter", "period"].map(|it| row.try_get("", it).unwrap());
                (meter, columns.map(|column| (column, number(row, column))))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

on_both! {
    async fn a_key_is_counted_once_and_the_limit_holds(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let first = reserve(&mut client, order("o-1", 7)).await;
        assert_eq!((granted(&first), counted(&first)), ((true, 7, false), (7, 0, Some(3))));
        let state = first.state.unwrap();
        assert_eq!((state.reason(), state.limit, state.message.as_str()), (LimitReason::Within, Some(10), ""));
        assert_eq!((state.kind(), state.source()), (LimitKind::Monthly, LimitSource::Plan));
        assert_eq!(state.enforcement(), LimitEnforcement::On);
        assert_eq!(state.resets_at, Some(timestamp("2026-12-01T00:00:00Z".parse().unwrap())));
        assert_eq!(granted(&reserve(&mut client, order("o-1", 7)).await), (true, 7, true));

        let conflict = client.reserve_usage(order("o-1", 8)).await.unwrap_err();
        assert_eq!((conflict.code(), reason_of(&conflict)), (Code::AlreadyExists, "USAGE_KEY_CONFLICT".into()));

        let refused = reserve(&mut client, order("o-2", 4)).await;
        assert_eq!((granted(&refused), counted(&refused)), ((false, 0, false), (7, 0, Some(3))));
        let state = refused.state.unwrap();
        assert_eq!(state.reason(), LimitReason::Exceeded);
        assert_eq!(state.message, "This would exceed the limit 'transactions_monthly' of 10.");
        assert!(state.plan_slugs.contains(&"professional".to_owned()), "{:?}", state.plan_slugs);
        // A refusal is not remembered.
        server.database.limit_of_plan("starter", "max_transactions_monthly", "11").await;
        assert_eq!(granted(&reserve(&mut client, order("o-2", 4)).await), (true, 4, false));

        let released = release(&mut client, ORDERS, "o-1").await;
        assert_eq!((released.released_amount, released.state.unwrap().used), (7, 4));
        assert_eq!(release(&mut client, ORDERS, "o-1").await.released_amount, 0);
        assert_eq!(release(&mut client, ORDERS, "never").await.released_amount, 0);
        assert_eq!(granted(&reserve(&mut client, order("o-1", 2)).await), (true, 2, false), "a released key is new");
        server.database.verify_usage().await;
    }

    async fn the_limit_is_the_one_that_the_database_holds(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        assert!(reserve(&mut client, order("o-1", 5)).await.granted);
        // Nobody tells the server, which holds the older one.
        server.database.limit_of_plan("starter", "max_transactions_monthly", "4").await;
        let lowered = reserve(&mut client, order("o-2", 1)).await;
        assert_eq!((granted(&lowered).0, why(&lowered)), (false, LimitReason::OverLimit));
        assert_eq!(counted(&lowered), (5, 0, Some(-1)), "nothing is taken away");
        server.database.override_limit(1, ORDERS, "100", &format!("'{}'", (NOW + TimeDelta::hours(1)).to_rfc3339())).await;
        let own = reserve(&mut client, order("o-2", 90)).await;
        assert_eq!(own.state.as_ref().unwrap().source(), LimitSource::Override);
        assert_eq!(granted(&own), (true, 90, false));
        server.advance(3600);
        assert_eq!(why(&reserve(&mut client, order("o-3", 1)).await), LimitReason::OverLimit);
        server.database.limit_of_plan("starter", "max_transactions_monthly", "NULL").await;
        server.database.execute("DELETE FROM entitlement_limit_overrides").await;
        let unlimited = reserve(&mut client, order("o-3", 1_000_000_000_000)).await;
        assert_eq!((why(&unlimited), counted(&unlimited).2), (LimitReason::Unlimited, None));
        server.database.keep_limit(1, ORDERS, "96").await;
        assert_eq!(why(&reserve(&mut client, order("o-4", 1)).await), LimitReason::OverLimit, "what it keeps of its plan");
        server.database.execute("UPDATE tenants SET plan_id = NULL").await;
        let no_plan = reserve(&mut client, order("o-4", 1)).await;
        assert_eq!((no_plan.granted, why(&no_plan)), (true, LimitReason::NoPlan));
    }

    async fn a_hold_returns_by_itself_unless_it_is_taken_for_good(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let held = |key: &str| ReserveUsageRequest {
            hold_for: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..order(key, 5)
        };
        assert_eq!(counted(&reserve(&mut client, held("kept")).await), (0, 5, Some(5)));
        assert_eq!(counted(&reserve(&mut client, held("lost")).await), (0, 10, Some(0)));
        assert!(!reserve(&mut client, order("other", 1)).await.granted);
        let kept = reserve(&mut client, order("kept", 5)).await;
        assert_eq!((granted(&kept), counted(&kept)), ((true, 5, true), (5, 5, Some(0))));
        server.advance(59);
        assert!(!reserve(&mut client, order("other", 1)).await.granted);
        server.advance(1);
        let other = reserve(&mut client, order("other", 1)).await;
        assert_eq!((granted(&other), counted(&other)), ((true, 1, false), (6, 0, Some(4))));
        // Too late: there is not enough left by now.
        assert_eq!(granted(&reserve(&mut client, order("lost", 5)).await), (false, 0, false));
        let again = reserve(&mut client, held("given-back")).await;
        assert!(!again.granted);
        let small = ReserveUsageRequest { amount: 4, ..held("given-back") };
        assert!(reserve(&mut client, small).await.granted);
        assert_eq!(release(&mut client, ORDERS, "given-back").await.released_amount, 4);
        server.database.verify_usage().await;
    }

    async fn a_part_is_taken_where_that_is_asked_for(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let import = ReserveUsageRequest { partial: true, ..order("import", 5_000) };
        let part = reserve(&mut client, import.clone()).await;
        assert_eq!((granted(&part), why(&part)), ((true, 10, false), LimitReason::Exceeded));
        assert_eq!(granted(&reserve(&mut client, import).await), (true, 10, true));
        let none = reserve(&mut client, ReserveUsageRequest { partial: true, ..order("more", 1) }).await;
        assert_eq!(granted(&none), (false, 0, false));
        server.database.verify_usage().await;
    }

    async fn a_month_ends_at_midnight_in_its_zone_and_nothing_is_reset(server: Server) {
        for (zone, end) in [
            ("Asia/Kolkata", "2026-11-30T18:30:00Z"),
            ("Europe/Paris", "2026-11-30T23:00:00Z"),
            ("Pacific/Apia", "2026-11-30T11:00:00Z"),
            ("UTC", "2026-12-01T00:00:00Z"),
        ] {
            let database = server.database.again().await;
            for table in ["keys", "counters", "days"] {
                database.execute(&format!("DELETE FROM entitlement_usage_{table}")).await;
            }
            database.execute("DELETE FROM tenant_subscriptions").await;
            database.execute("DELETE FROM tenants").await;
            let (server, mut client) = started(database, &["--time-zone", zone]).await;
            let end: DateTime<Utc> = end.parse().unwrap();
            server.clock.advance(end - NOW - TimeDelta::milliseconds(1));
            let last = reserve(&mut client, order("november", 10)).await;
            assert_eq!(last.state.as_ref().unwrap().resets_at, Some(timestamp(end)), "{zone}");
            assert!(!reserve(&mut client, order("too-many", 1)).await.granted, "{zone}");
            server.clock.advance(TimeDelta::milliseconds(1));
            let first = reserve(&mut client, order("december", 3)).await;
            assert_eq!((first.granted, counted(&first)), (true, (3, 0, Some(7))), "{zone}");
            // The order of November is the same order, and returns to November.
            assert_eq!(granted(&reserve(&mut client, order("november", 10)).await), (true, 10, true));
            let released = release(&mut client, ORDERS, "november").await;
            assert_eq!((released.released_amount, released.state.unwrap().used), (10, 3), "{zone}");
            server.database.verify_usage().await;
        }
    }

    async fn who_is_denied_counts_nothing(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let unknown = reserve(&mut client, ReserveUsageRequest { tenant_id: id(9), ..order("a", 1) }).await;
        assert_eq!((unknown.granted, why(&unknown)), (false, LimitReason::TenantDenied));
        assert_eq!(unknown.state.unwrap().denial_reason(), DecisionReason::TenantNotFound);
        let nothing = reserve(&mut client, ReserveUsageRequest { meter: "spoons".into(), ..order("a", 1) }).await;
        assert_eq!((nothing.granted, why(&nothing)), (false, LimitReason::NotFound));
        assert_eq!(nothing.state.unwrap().message, "There is no limit 'spoons'.");
        let of_module = |module: &str| ReserveUsageRequest { module_code: module.into(), ..order("a", 1) };
        let denied = reserve(&mut client, of_module("hrms")).await;
        assert_eq!((denied.granted, why(&denied)), (false, LimitReason::ModuleDenied));
        let state = denied.state.unwrap();
        assert_eq!(state.denial_reason(), DecisionReason::NotSubscribed);
        assert!(state.message.contains("'hrms'") && !state.plan_slugs.is_empty(), "{state:?}");
        assert!(reserve(&mut client, of_module("finance")).await.granted);
        server.database.set_status(1, "suspended").await;
        server.advance(301);
        let suspended = reserve(&mut client, order("b", 1)).await;
        assert_eq!(suspended.state.unwrap().denial_reason(), DecisionReason::TenantSuspended);
        assert_eq!(release(&mut client, ORDERS, "a").await.released_amount, 1, "what it gives back is its own");
    }

    async fn bad_fields_are_all_named(server: Server) {
        let (_server, mut client) = started(server.database.again().await, &[]).await;
        let bad = ReserveUsageRequest {
            tenant_id: "x".into(),
            meter: String::new(),
            key: "a b".into(),
            amount: 0,
            module_code: "a\n".into(),
            hold_for: Some(prost_types::Duration { seconds: 86_401, nanos: 0 }),
            partial: false,
        };
        let status = client.reserve_usage(bad).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(field_violations(&status), ["tenant_id", "meter", "key", "amount", "module_code", "hold_for"]);
        for key in ["", "\u{e9}", "a\u{7f}", &"k".repeat(129)] {
            let status = client.reserve_usage(order(key, 1)).await.unwrap_err();
            assert_eq!(field_violations(&status), ["key"], "{key:?}");
        }
        for amount in [-1, i64::MIN, 1_000_000_000_001, i64::MAX] {
            let status = client.reserve_usage(order("a", amount)).await.unwrap_err();
            assert_eq!(field_violations(&status), ["amount"], "{amount}");
        }
        // A quotation mark is a character like others, and so is what looks like a parameter.
        for key in ["o'", "\\'; DROP", "$1", "?", "\"", ":a", "--", "/*", &"k".repeat(128)] {
            let key = key.replace(' ', "_");
            assert_eq!(granted(&reserve(&mut client, order(&key, 1)).await), (true, 1, false), "{key:?}");
            assert_eq!(release(&mut client, ORDERS, &key).await.released_amount, 1, "{key:?}");
        }
    }

    async fn a_level_is_the_set_of_things_that_there_are(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        for key in ["ann", "bob", "cid"] {
            assert!(reserve(&mut client, user(key)).await.granted);
        }
        assert!(!reserve(&mut client, user("dan")).await.granted);
        let there = |keys: &[&str]| ReconcileUsageRequest {
            tenant_id: id(1),
            meter: USERS.into(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            as_of: Some(timestamp(server.clock.now())),
            ..Default::default()
        };
        // What is younger than five seconds is left alone.
        let none = reconcile(&mut client, there(&[])).await;
        assert_eq!((none.counted, none.released), (0, 0));
        server.advance(5);
        // One has left, and two came without a word: what is there is there.
        let response = reconcile(&mut client, there(&["ann", "cid", "dan", "eve", "eve"])).await;
        assert_eq!((response.counted, response.released), (2, 1));
        let state = response.state.unwrap();
        assert_eq!((state.used, state.remaining, state.reason()), (4, Some(-1), LimitReason::OverLimit));
        let again = reconcile(&mut client, there(&["eve", "dan", "cid", "ann"])).await;
        assert_eq!((again.counted, again.released), (0, 0));
        server.advance(5);
        let range = ReconcileUsageRequest { after_key: "ann".into(), up_to_key: "dan".into(), ..there(&["bob"]) };
        let response = reconcile(&mut client, range).await;
        assert_eq!((response.counted, response.released, response.state.unwrap().used), (1, 2, 3));
        // Whoever came after the list was read stays.
        server.advance(5);
        let read = there(&["ann", "bob"]);
        server.advance(60);
        assert_eq!(release(&mut client, USERS, "ann").await.released_amount, 1);
        assert!(reserve(&mut client, user("fay")).await.granted);
        let response = reconcile(&mut client, read).await;
        assert_eq!((response.counted, response.released), (0, 1), "eve alone has left");
        server.database.verify_usage().await;
        server.advance(5);
        assert_eq!(reconcile(&mut client, there(&[])).await.state.unwrap().used, 0);
        let ahead = timestamp(server.clock.now() + TimeDelta::minutes(2));
        let status = client.reconcile_usage(ReconcileUsageRequest { as_of: Some(ahead), ..there(&[]) }).await;
        assert_eq!(field_violations(&status.unwrap_err()), ["as_of"]);

        let monthly = ReconcileUsageRequest { meter: ORDERS.into(), ..there(&["a"]) };
        let status = client.reconcile_usage(monthly).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status)), (Code::FailedPrecondition, "NOT_A_LEVEL".into()));
        let bad = ReconcileUsageRequest { as_of: None, after_key: "m".into(), ..there(&["a"]) };
        let status = client.reconcile_usage(bad).await.unwrap_err();
        assert_eq!(field_violations(&status), ["as_of", "keys[0]"]);
        let many: Vec<String> = (0..1500).map(|number| format!("user-{number:0123}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(reconcile(&mut client, there(&many)).await.counted, 1500);
        let status = client.reconcile_usage(there(&[&many[..], &["zoe"]].concat())).await.unwrap_err();
        assert_eq!(field_violations(&status), ["keys"]);
        server.database.verify_usage().await;
    }

    async fn a_held_thing_that_is_there_is_taken_for_good(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let held = ReserveUsageRequest {
            hold_for: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..user("ann")
        };
        assert_eq!(counted(&reserve(&mut client, held).await), (0, 1, Some(2)));
        let there = ReconcileUsageRequest {
            tenant_id: id(1),
            meter: USERS.into(),
            keys: vec!["ann".into(), "bob".into()],
            as_of: Some(timestamp(NOW)),
            ..Default::default()
        };
        let state = reconcile(&mut client, there).await.state.unwrap();
        assert_eq!((state.used, state.held), (2, 0));
        server.database.verify_usage().await;
    }

    async fn where_limits_are_not_enforced_everything_is_counted(server: Server) {
        for (enforce, expected) in [("off", LimitEnforcement::Off), ("shadow", LimitEnforcement::Shadow)] {
            let database = server.database.again().await;
            for table in ["keys", "counters", "days"] {
                database.execute(&format!("DELETE FROM entitlement_usage_{table}")).await;
            }
            if enforce == "off" {
                mk_customer(&database).await;
            }
            let server = Server::start_with(database, &["--changes", "off", "--enforce-limits", enforce]).await;
            let mut client = client(&server).await;
            let beyond = reserve(&mut client, order("a", 11)).await;
            assert_eq!((granted(&beyond), why(&beyond)), ((true, 11, false), LimitReason::Exceeded));
            assert_eq!(beyond.state.unwrap().enforcement(), expected);
            assert_eq!(why(&reserve(&mut client, order("b", 1)).await), LimitReason::OverLimit);
            server.database.verify_usage().await;
        }
    }
}

async fn reconcile(client: &mut Client, request: ReconcileUsageRequest) -> ReconcileUsageResponse {
    client.reconcile_usage(request).await.unwrap().into_inner()
}

/// Reserves 1 under keys that repeat, from many callers at once. Gives what each key was told.
async fn stampede(clients: &[Client], keys: u32, callers: u32) -> HashMap<String, bool> {
    let mut all = JoinSet::new();
    for caller in 0..callers {
        let mut client = clients[caller as usize % clients.len()].clone();
        all.spawn(async move {
            let mut told = Vec::new();
            for turn in 0..keys {
                // Each has an order of its own, so that every key is asked for by several at once.
                let key = format!("o-{}", (turn * 7 + caller * 13) % keys);
                let answer = client.reserve_usage(order(&key, 1)).await;
                told.push((key, answer.map(|answer| answer.into_inner().granted)));
            }
            told
        });
    }
    let mut told: HashMap<String, bool> = HashMap::new();
    while let Some(some) = all.join_next().await {
        for (key, answer) in some.unwrap() {
            match answer {
                Ok(granted) => *told.entry(key).or_default() |= granted,
                Err(status) => assert!(may_be_asked_again(&status), "{status:?}"),
            }
        }
    }
    told
}

fn may_be_asked_again(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_and_many_callers_never_count_beyond_the_limit() {
    let database = Database::postgres().await;
    mk_customer(&database).await;
    database.limit_of_plan("starter", "max_transactions_monthly", "100").await;
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let one = Server::start_with(database.again().await, &flags).await;
    let two = Server::start_with(database.again().await, &flags).await;
    let clients = [client(&one).await, client(&two).await];
    let told = stampede(&clients, 150, 32).await;
    assert_eq!(told.values().filter(|granted| **granted).count(), 100);
    let used = database.one("SELECT used FROM entitlement_usage_counters WHERE period <> ''").await;
    assert_eq!(used.try_get::<i64>("", "used").unwrap(), 100);
    database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_however_often_connections_are_cut() {
    let direct = Database::postgres().await;
    mk_customer(&direct).await;
    direct.limit_of_plan("starter", "max_transactions_monthly", "60").await;
    let proxy = Proxy::to(postgres::shared().port()).await;
    let url = direct
        .url
        .replace(&format!(":{}/", postgres::shared().port()), &format!(":{}/", proxy.port()));
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let server = Server::start_with(direct.by_way_of(url).await, &flags).await;
    let client = client(&server).await;
    let cutting = async {
        for _ in 0..15 {
            // Spread over the requests: nothing waits for it.
            tokio::time::sleep(Duration::from_millis(40)).await;
            proxy.cut().await;
        }
    };
    let clients = [client];
    let (told, ()) = tokio::join!(stampede(&clients, 90, 16), cutting);
    let acknowledged: Vec<&String> =
        told.iter().filter(|(_, granted)| **granted).map(|(key, _)| key).collect();
    assert!(acknowledged.len() <= 60, "{}", acknowledged.len());
    for key in acknowledged {
        let sql = format!(
            "SELECT count(*) AS there FROM entitlement_usage_keys WHERE key = '{key}' AND state = 'counted'"
        );
        assert_eq!(direct.one(&sql).await.try_get::<i64>("", "there").unwrap(), 1, "{key}");
    }
    direct.verify_usage().await;
    let used = direct.one("SELECT used FROM entitlement_usage_counters WHERE period <> ''").await;
    assert!(used.try_get::<i64>("", "used").unwrap() <= 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_reservation_is_one_message_to_the_database() {
    let direct = Database::postgres().await;
    mk_customer(&direct).await;
    direct.limit_of_plan("starter", "max_transactions_monthly", "1000").await;
    let port = postgres::shared().port();
    let proxy = Proxy::to(port).await;
    let url = direct.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let server = Server::start_with(direct.by_way_of(url).await, &flags).await;
    let mut client = client(&server).await;
    let hold_for = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    for first in [order("first", 1), user("first")] {
        assert!(reserve(&mut client, first).await.granted);
    }
    let before = proxy.round_trips();
    for number in 0..40 {
        let taken = reserve(&mut client, order(&format!("o-{number}"), 2)).await;
        assert_eq!((granted(&taken), counted(&taken).0), ((true, 2, false), 1 + 2 * (number + 1)));
        assert_eq!(why(&taken), LimitReason::Within);
    }
    let held = reserve(&mut client, ReserveUsageRequest { hold_for, ..user("ann") }).await;
    assert_eq!(counted(&held), (1, 1, Some(1)));
    // The server asks about other things meanwhile, but not as much as that.
    let trips = proxy.round_trips() - before;
    assert!(trips < 60, "{trips} round trips for 41 reservations");
    direct.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_somebody_sits_on_stops_its_own_counter_alone() {
    let (server, mut client) = started(Database::postgres().await, &[]).await;
    assert!(reserve(&mut client, order("before", 1)).await.granted);
    let sitter = server.database.again().await;
    let sitting = {
        use sea_orm::TransactionTrait;
        sitter.connection.begin().await.unwrap()
    };
    {
        use sea_orm::ConnectionTrait;
        sitting
            .execute_unprepared("UPDATE entitlement_usage_counters SET used = used")
            .await
            .unwrap();
    }
    let mut other = client.clone();
    let (locked, free) =
        tokio::join!(client.reserve_usage(order("locked", 1)), other.reserve_usage(user("ann")),);
    assert!(free.unwrap().into_inner().granted, "another counter is free");
    let status = locked.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status)),
        (Code::ResourceExhausted, "COUNTER_LOCKED".into())
    );
    assert!(status.get_error_details().retry_info().is_some());
    sitting.rollback().await.unwrap();
    assert_eq!(granted(&reserve(&mut client, order("locked", 1)).await), (true, 1, false));
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_behind_a_transaction_pooler() {
    let direct = Database::postgres().await;
    mk_customer(&direct).await;
    let pooler = Pooler::to(postgres::shared().port(), &[]);
    let name = direct.name.clone();
    let pooled = direct.by_way_of(pooler.url(&name)).await;
    let flags = ["--changes", "off", "--enforce-limits", "on", "--database-pooler", "transaction"];
    let server = Server::start_with(pooled, &flags).await;
    let clients = [client(&server).await];
    let told = stampede(&clients, 20, 8).await;
    assert_eq!(told.values().filter(|granted| **granted).count(), 10);
    direct.verify_usage().await;
}
