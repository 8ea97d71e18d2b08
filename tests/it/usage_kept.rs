//! What is shown of usage, proven, put right and forgotten, and who may count.

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    clock::Clock,
    proto::v1::{
        AcquireUsageLeaseRequest, CheckLimitRequest, ExplainLimitRequest, LimitReason,
        ReconcileUsageRequest, ReleaseUsageRequest, ReserveUsageRequest,
    },
};
use tonic::Code;

use crate::{
    callers::callers,
    folding::open,
    harness::{Database, NOW, Server, id, process, reason_of, server::serve_args},
    on_both,
    usage::{
        ORDERS, USERS, client, mk_customer, order, release, reserve, started, timestamp, user,
    },
};

async fn client_of(server: &mut Server) -> crate::usage::Client {
    client(server).await
}

/// Runs `entitlementd usage`: the exit code, and everything that it says.
fn run(database: &Database, arguments: &[&str]) -> (i32, String) {
    let output =
        process::run(&[&["usage"], arguments, &["--database-url", &database.url]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text + &String::from_utf8(output.stderr).unwrap())
}

async fn number(database: &Database, sql: &str) -> i64 {
    database.one(&format!("SELECT ({sql}) AS number")).await.try_get("", "number").unwrap()
}

on_both! {
    async fn a_key_is_counted_in_one_month_only_whatever_month_two_servers_are_in(server: Server) {
        let (before, mut november) = started(server.database.again().await, &[]).await;
        let flags = ["--changes", "off", "--enforce-limits", "on"];
        let after = Server::start_with(server.database.again().await, &flags).await;
        let mut december = client(&after).await;
        let end: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
        before.clock.advance(end - NOW - TimeDelta::milliseconds(10));
        after.clock.advance(end - NOW + TimeDelta::milliseconds(10));
        server.database.limit_of_plan("starter", "max_transactions_monthly", "1000").await;
        for key in 0..40 {
            let key = format!("o-{key}");
            let (one, two) = tokio::join!(
                november.reserve_usage(order(&key, 1)),
                december.reserve_usage(order(&key, 1)),
            );
            let told = [one, two].map(|answer| answer.unwrap().into_inner());
            assert!(told.iter().all(|answer| answer.granted));
            assert_eq!(told.iter().filter(|answer| answer.repeated_request).count(), 1, "{key}");
        }
        let used = number(&server.database, "SELECT CAST(sum(used) AS bigint) FROM entitlement_usage_counters").await;
        assert_eq!(used, 40);
        server.database.verify_usage().await;
    }

    async fn a_hold_is_given_back_and_what_was_taken_for_good_is_not_where_that_is_asked_for(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let held = |key: &str| ReserveUsageRequest {
            hold_for: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..order(key, 4)
        };
        for key in ["kept", "lost"] {
            assert!(reserve(&mut client, held(key)).await.granted);
        }
        assert!(reserve(&mut client, order("kept", 4)).await.granted);
        for (key, amount) in [("kept", 0), ("lost", 4)] {
            let request = ReleaseUsageRequest {
                tenant_id: id(1),
                meter: ORDERS.into(),
                key: key.into(),
                only_held: true,
            };
            let released = client.release_usage(request).await.unwrap().into_inner();
            assert_eq!(released.released_amount, amount, "{key}");
        }
        server.database.verify_usage().await;
    }

    async fn who_asks_why_is_shown_what_took_it(server: Server) {
        let (mut server, mut client) = started(server.database.again().await, &[]).await;
        let why = ExplainLimitRequest {
            tenant: id(1),
            limit_key: ORDERS.into(),
            ..Default::default()
        };
        let nothing = server.client.explain_limit(why.clone()).await.unwrap().into_inner();
        assert_eq!(nothing.usage, None);
        for number in 0..25 {
            server.advance(1);
            let module_code = "finance".into();
            let request = ReserveUsageRequest { module_code, ..order(&format!("o-{number}"), 1) };
            assert_eq!(reserve(&mut client, request).await.granted, number < 10);
        }
        assert_eq!(release(&mut client, ORDERS, "o-3").await.released_amount, 1);
        let usage = server.client.explain_limit(why).await.unwrap().into_inner().usage.unwrap();
        assert_eq!((usage.used, usage.held, usage.period.as_str()), (9, 0, "2026-11"));
        assert_eq!(usage.resets_at, Some(timestamp("2026-12-01T00:00:00Z".parse().unwrap())));
        let shown: Vec<_> =
            usage.keys.iter().map(|key| (key.key.as_str(), key.state.as_str())).collect();
        assert_eq!(shown[..2], [("o-3", "released"), ("o-9", "counted")]);
        assert_eq!((shown.len(), usage.keys[1].module_code.as_str()), (10, "finance"));
        assert_eq!((usage.keys[0].used_amount, usage.keys[1].used_amount), (0, 1));
        let refused: Vec<_> =
            usage.refusals.iter().map(|it| (it.key.as_str(), it.reason(), it.refused_at)).collect();
        let newest = Some(timestamp(NOW + TimeDelta::seconds(25)));
        assert_eq!((refused.len(), refused[0]), (15, ("o-24", LimitReason::Exceeded, newest)));
    }

    async fn who_asks_why_is_shown_who_holds_a_lease(server: Server) {
        let (mut server, mut client) = started(server.database.again().await, &[]).await;
        server.database.limit_of_plan("starter", "max_transactions_monthly", "1000").await;
        let lease = AcquireUsageLeaseRequest {
            tenant_id: id(1),
            meter: ORDERS.into(),
            lease_id: "l-1".into(),
            wanted: 100,
            ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            holder: "till-7".into(),
            ..Default::default()
        };
        assert_eq!(client.acquire_usage_lease(lease).await.unwrap().into_inner().granted_amount, 100);
        let why = ExplainLimitRequest { tenant: id(1), limit_key: ORDERS.into(), ..Default::default() };
        let usage = server.client.explain_limit(why).await.unwrap().into_inner().usage.unwrap();
        let key = &usage.keys[0];
        assert_eq!((key.lease_holder.as_str(), key.amount, key.used_amount), ("till-7", 100, 0));
        let (_, text) = run(&server.database, &["show", &id(1), "--meter", ORDERS]);
        assert!(text.contains("till-7"), "{text}");
    }

    async fn holds_that_have_run_out_return_when_a_level_is_put_right(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let held = |key: &str| ReserveUsageRequest {
            hold_for: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..user(key)
        };
        for key in ["came", "never"] {
            assert!(reserve(&mut client, held(key)).await.granted);
        }
        server.advance(3600);
        let there = ReconcileUsageRequest {
            tenant_id: id(1),
            meter: USERS.into(),
            keys: vec!["came".into()],
            as_of: Some(timestamp(server.clock.now())),
            ..Default::default()
        };
        let state = client.reconcile_usage(there).await.unwrap().into_inner().state.unwrap();
        assert_eq!((state.used, state.held, state.remaining), (1, 0, Some(2)));
        server.database.verify_usage().await;
    }

    async fn a_hold_that_has_run_out_is_no_part_of_what_is_checked(server: Server) {
        let (mut server, mut client) = started(server.database.again().await, &[]).await;
        let held = ReserveUsageRequest {
            hold_for: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..order("held", 10)
        };
        assert!(reserve(&mut client, held).await.granted);
        let request = CheckLimitRequest {
            tenant_id: id(1),
            limit_key: ORDERS.into(),
            amount: 1,
            ..Default::default()
        };
        assert!(!server.client.check_limit(request.clone()).await.unwrap().into_inner().allowed);
        server.advance(1);
        let answer = server.client.check_limit(request).await.unwrap().into_inner();
        assert_eq!((answer.allowed, answer.used, answer.held), (true, 0, 0));
    }

    async fn a_counter_that_was_spoilt_by_hand_spoils_no_other(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        assert!(reserve(&mut client, order("o-1", 5)).await.granted);
        assert!(reserve(&mut client, user("ann")).await.granted);
        server.database.execute("UPDATE entitlement_usage_counters SET used = 3 WHERE used = 5").await;
        let mut other = client.clone();
        let wrong = ReleaseUsageRequest { tenant_id: id(1), meter: ORDERS.into(), key: "o-1".into(), only_held: false };
        let (wrong, right) =
            tokio::join!(client.release_usage(wrong), other.reserve_usage(user("bob")));
        assert_eq!(wrong.unwrap_err().code(), Code::Internal);
        assert!(right.unwrap().into_inner().granted);
    }

    async fn keys_of_a_month_are_left_alone_when_a_level_of_that_name_is_put_right(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let database = server.database.again().await;
        database.execute("INSERT INTO entitlement_limits (key, kind) VALUES ('things', 'monthly')").await;
        let thing = |key: &str| ReserveUsageRequest { meter: "things".into(), ..order(key, 1) };
        let mut fresh = Server::start_with(database.again().await, &["--changes", "off"]).await;
        let mut monthly = client_of(&mut fresh).await;
        for key in ["a", "b"] {
            assert!(reserve(&mut monthly, thing(key)).await.granted);
        }
        database.execute("UPDATE entitlement_limits SET kind = 'level' WHERE key = 'things'").await;
        let mut fresh = Server::start_with(database.again().await, &["--changes", "off"]).await;
        fresh.advance(60);
        let mut level = client_of(&mut fresh).await;
        let there = ReconcileUsageRequest {
            tenant_id: id(1),
            meter: "things".into(),
            keys: vec!["c".into(), "d".into()],
            as_of: Some(timestamp(fresh.clock.now())),
            ..Default::default()
        };
        let response = level.reconcile_usage(there).await.unwrap().into_inner();
        assert_eq!((response.counted, response.released, response.state.unwrap().used), (2, 0, 2));
        database.verify_usage().await;
        _ = &mut client;
    }

    async fn a_limit_is_checked_against_what_is_counted_where_the_caller_has_not(server: Server) {
        let (mut server, mut client) = started(server.database.again().await, &[]).await;
        let held = ReserveUsageRequest {
            hold_for: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..order("held", 2)
        };
        assert!(reserve(&mut client, order("o-1", 5)).await.granted);
        assert!(reserve(&mut client, held).await.granted);
        let request = CheckLimitRequest {
            tenant_id: id(1),
            limit_key: ORDERS.into(),
            amount: 4,
            ..Default::default()
        };
        let answer = server.client.check_limit(request.clone()).await.unwrap().into_inner();
        assert_eq!((answer.allowed, answer.used, answer.held), (false, 7, 2));
        assert_eq!(answer.remaining, Some(3));
        assert_eq!(answer.resets_at, Some(timestamp("2026-12-01T00:00:00Z".parse().unwrap())));
        assert_eq!(answer.usage_as_of, Some(timestamp(NOW)));
        let max_age = answer.freshness.unwrap().max_age.unwrap();
        assert_eq!((max_age.seconds, max_age.nanos), (0, 0), "nobody keeps it");
        let own = CheckLimitRequest { observed: Some(0), ..request.clone() };
        let own = server.client.check_limit(own).await.unwrap().into_inner();
        assert_eq!((own.allowed, own.used), (true, 0));
        assert_eq!((own.usage_as_of, own.resets_at), (None, None));
        let december = Some(timestamp("2026-12-15T00:00:00Z".parse().unwrap()));
        let next = CheckLimitRequest { at: december, ..request.clone() };
        let next = server.client.check_limit(next).await.unwrap().into_inner();
        assert_eq!(next.used, 0, "another month is another counter");
        let unknown = CheckLimitRequest { limit_key: "spoons".into(), ..request };
        let unknown = server.client.check_limit(unknown).await.unwrap().into_inner();
        assert_eq!(unknown.reason(), LimitReason::NotFound);
    }

    async fn what_was_counted_is_shown_and_proven(server: Server) {
        let database = server.database.again().await;
        mk_customer(&database).await;
        // The command goes by the time of day, and so must the server: what was counted is proven for as long
        // as its keys are kept.
        let now = Clock::System.now();
        let flags = ["--changes", "off", "--enforce-limits", "on"];
        let server = Server::start_at(now, database.again().await, &flags).await;
        let mut client = client(&server).await;
        for (key, amount) in [("o-1", 5), ("o-2", 3)] {
            assert!(reserve(&mut client, order(key, amount)).await.granted);
        }
        assert!(reserve(&mut client, user("ann")).await.granted);
        assert_eq!(release(&mut client, ORDERS, "o-2").await.released_amount, 3);
        let (code, text) = run(&database, &["show", &id(1), "--meter", ORDERS]);
        let month = now.format("%Y-%m").to_string();
        assert!(code == 0 && text.contains(&month) && text.contains("released"), "{text}");
        let (_, text) = run(&database, &["show", &id(1), "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        let used = |meter: &str| {
            let all = shown["counters"].as_array().unwrap();
            all.iter().find(|counter| counter["meter"] == meter).unwrap()["used"].as_i64().unwrap()
        };
        assert_eq!((used(ORDERS), used(USERS)), (5, 1));
        let (code, text) = run(&database, &["show", &id(9)]);
        assert!(code == 2 && text.contains("no tenant"), "{text}");

        assert_eq!(run(&database, &["verify"]).0, 0);
        let one_more = "UPDATE entitlement_usage_counters SET used = used + 1 WHERE meter = 'users'";
        database.execute(one_more).await;
        let (code, text) = run(&database, &["verify"]);
        assert!(code == 1 && text.contains("users") && !text.contains(ORDERS), "{text}");
        // Anybody may run the proof.
        let (_, sql) = run(&database, &["verify", "--print-sql"]);
        let sql = sql.trim().trim_end_matches(';');
        assert_eq!(number(&database, &format!("SELECT count(*) FROM ({sql}) w")).await, 1);
        // A key without a counter is wrong too.
        database.execute("DELETE FROM entitlement_usage_counters").await;
        let (_, text) = run(&database, &["verify", "--json"]);
        let wrong: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(wrong.as_array().unwrap().len(), 2, "{text}");
        assert_eq!((&wrong[0]["used"], &wrong[0]["counted"]), (&0.into(), &5.into()), "{text}");
        database.execute("UPDATE entitlement_usage_keys SET used = 0").await;
        // And so is a day.
        let (code, text) = run(&database, &["verify"]);
        assert!(code == 1 && text.contains(ORDERS) && !text.contains("users"), "{text}");
    }

    async fn what_is_not_needed_any_more_is_forgotten(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        for request in [order("o-1", 5), user("ann"), user("bob")] {
            assert!(reserve(&mut client, request).await.granted);
        }
        let store = open(&server.database).await;
        let keys = async || number(&server.database, "SELECT count(*) FROM entitlement_usage_keys").await;
        // A day more than 35 days after November, and 26 hours more: then it is over in all time zones.
        let last: DateTime<Utc> = "2027-01-07T01:59:59Z".parse().unwrap();
        assert!(!store.forget_usage_keys(last).await.unwrap());
        assert_eq!(keys().await, 3);
        let after = last + TimeDelta::seconds(1);
        store.forget_usage_keys(after).await.unwrap();
        assert_eq!(keys().await, 2, "who is a user is never forgotten");
        assert!(store.verify_usage(after).await.unwrap().is_empty());
        assert_eq!(release(&mut client, USERS, "ann").await.released_amount, 1);
        store.forget_usage_keys(NOW + TimeDelta::days(36)).await.unwrap();
        assert_eq!(keys().await, 2);
        store.forget_usage_keys(NOW + TimeDelta::days(37)).await.unwrap();
        assert_eq!(keys().await, 1);
    }
}

/// Tables of tenants' own users, of which so many are active and one is gone.
pub async fn mk_users(database: &Database, tenants: &[(u32, u32)]) {
    for &(tenant, users) in tenants {
        let tenant = database.uuid(&id(tenant));
        let schema: String = database
            .one(&format!("SELECT database_schema FROM tenants WHERE id = {tenant}"))
            .await
            .try_get("", "database_schema")
            .unwrap();
        for sql in [
            format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""),
            format!("CREATE TABLE \"{schema}\".users (id text, is_active boolean)"),
            format!(
                "INSERT INTO \"{schema}\".users SELECT 'user-' || i, true FROM generate_series(1, {users}) i"
            ),
            format!("INSERT INTO \"{schema}\".users VALUES ('gone', false)"),
        ] {
            database.execute(&sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_put_right_by_the_tenants_own_tables() {
    let (server, mut client) = started(Database::postgres().await, &[]).await;
    let database = server.database.again().await;
    database.mk_tenant(2, "second", "active").await;
    mk_users(&database, &[(1, 2), (2, 1700)]).await;
    assert!(reserve(&mut client, user("gone")).await.granted);
    // Long ago: what is young is left alone.
    database.execute("UPDATE entitlement_usage_keys SET changed_at = '2026-01-01T00:00:00Z'").await;
    let reconcile = |arguments: &[&str]| run(&database, &[&["reconcile"], arguments].concat());
    let active = "SELECT id FROM {schema}.users WHERE is_active";
    let (code, text) = reconcile(&[USERS, "--sql", active, "--preview"]);
    assert!(
        code == 0 && text.contains("1700 there") && text.contains("nothing was changed"),
        "{text}"
    );
    let (code, text) = reconcile(&[USERS, "--sql", active]);
    assert!(
        code == 0 && text.contains("2 tenants, 0 of them failed: 1702 counted, 1 released"),
        "{text}"
    );
    // The tables of the schema alone are found, so that nobody counts others' rows.
    database.execute("CREATE TABLE public.employees (id text)").await;
    database.execute("INSERT INTO public.employees VALUES ('ours')").await;
    let (code, text) = reconcile(&[USERS, "--sql", "SELECT id FROM employees"]);
    assert!(code == 1 && text.contains("2 of them failed"), "{text}");
    let (code, text) = reconcile(&[USERS, "--sql", "SELECT id FROM users WHERE is_active;"]);
    assert!(code == 0 && text.contains("0 counted, 0 released"), "{text}");
    database.verify_usage().await;

    let (code, text) = reconcile(&[ORDERS, "--sql", active]);
    assert!(code == 2 && text.contains("monthly"), "{text}");
    let (code, text) = reconcile(&["spoons", "--sql", active]);
    assert!(code == 2 && text.contains("no limit"), "{text}");
    for sql in [
        "DELETE FROM users RETURNING id",
        "SELECT 1) things; DROP TABLE users; --",
        "SELECT nothing",
    ] {
        let (code, text) = reconcile(&[USERS, "--sql", sql]);
        assert!(code == 1 && text.contains("2 of them failed"), "it may only read: {sql}: {text}");
    }
    assert_eq!(reconcile(&[USERS, "--sql", active, "--tenant", &id(9)]).0, 1);
    let (code, text) = reconcile(&[USERS, "--sql", active, "--tenant", &id(2)]);
    assert!(code == 0 && text.contains("1 tenants, 0 of them failed"), "{text}");
    database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_tenant_leaves_no_usage() {
    let (server, mut client) = started(Database::postgres().await, &[]).await;
    let database = server.database.again().await;
    assert!(reserve(&mut client, order("o-1", 5)).await.granted);
    database.set_status(1, "cancelled").await;
    let tenant = database.uuid(&id(1));
    let name: String = database
        .one(&format!("SELECT name FROM tenants WHERE id = {tenant}"))
        .await
        .try_get("", "name")
        .unwrap();
    let delete = ["tenant", "delete", &id(1), "--name", &name, "--force", "--keep-schema"];
    let output = process::run(&[&delete[..], &["--database-url", &database.url]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for table in ["entitlement_usage_keys", "entitlement_usage_counters"] {
        assert_eq!(number(&database, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_counts_who_was_not_given_that() {
    let database = Database::sqlite().await;
    mk_customer(&database).await;
    let usage = "services = [\"entitlement\", \"usage\"]";
    let orders = format!("{usage}\nmeters = [\"{ORDERS}\"]\ntenants = [\"{}\"]", id(1));
    let file = callers(&[
        ("counts", usage),
        ("asks", "services = [\"entitlement\"]"),
        ("orders", &orders),
    ]);
    let path = file.path().to_str().unwrap();
    let flags = ["--changes", "off", "--enforce-limits", "on", "--callers-file", path];
    let server = Server::start_with(database, &flags).await;
    let ask = async |token: &str, request: ReserveUsageRequest| {
        let mut request = tonic::Request::new(request);
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        client(&server).await.reserve_usage(request).await.map(tonic::Response::into_inner)
    };
    assert!(ask("counts", order("a", 1)).await.unwrap().granted);
    assert!(ask("orders", order("b", 1)).await.unwrap().granted);
    let of_another = ReserveUsageRequest { tenant_id: id(2), ..order("c", 1) };
    for (token, request, code) in [
        ("asks", order("c", 1), Code::PermissionDenied),
        ("orders", user("ann"), Code::PermissionDenied),
        ("orders", of_another, Code::PermissionDenied),
        ("nobody", order("c", 1), Code::Unauthenticated),
    ] {
        assert_eq!(ask(token, request).await.unwrap_err().code(), code, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_others_can_reach_and_nobody_is_known_nothing_is_counted() {
    let database = Database::sqlite().await;
    mk_customer(&database).await;
    let mut args = serve_args(&database.url, &["--changes", "off", "--insecure=all"]);
    args.instance.listen = "0.0.0.0:0".parse().unwrap();
    let clock = entitlementd::clock::ManualClock::at(NOW);
    let clock = Clock::Manual(clock);
    let running = entitlementd::server::start(args, clock).await.unwrap();
    let channel = crate::harness::server::connect(&running.address).await;
    let mut client = crate::usage::Client::new(channel);
    let status = client.reserve_usage(order("a", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason_of(&status), "CALLER_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_counter_does_not_take_the_turns_of_the_others() {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let flags = ["--database-max-connections", "5"];
    let (server, mut client) = started(Database::postgres().await, &flags).await;
    assert!(reserve(&mut client, order("before", 1)).await.granted);
    let sitter = server.database.again().await;
    let sitting = sitter.connection.begin().await.unwrap();
    sitting.execute_unprepared("UPDATE entitlement_usage_counters SET used = used").await.unwrap();
    let mut locked = tokio::task::JoinSet::new();
    for number in 0..500 {
        let mut client = client.clone();
        locked.spawn(async move { client.reserve_usage(order(&format!("l-{number}"), 1)).await });
    }
    // Another counter is served meanwhile, by the only turn that there is.
    for number in 0..20 {
        let free = client.reserve_usage(user(&format!("u-{number}"))).await.unwrap().into_inner();
        assert_eq!(free.granted, number < 3, "{number}");
    }
    while let Some(answer) = locked.join_next().await {
        let status = answer.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(reason_of(&status), "COUNTER_LOCKED");
    }
    sitting.rollback().await.unwrap();
    assert!(reserve(&mut client, order("after", 1)).await.granted);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_again_while_it_is_being_forgotten_stays() {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let (server, mut client) = started(Database::postgres().await, &[]).await;
    let database = server.database.again().await;
    assert!(reserve(&mut client, user("ann")).await.granted);
    assert_eq!(release(&mut client, USERS, "ann").await.released_amount, 1);
    let store = open(&database).await;
    let counting = database.connection.begin().await.unwrap();
    let again = "UPDATE entitlement_usage_keys SET state = 'counted'";
    counting.execute_unprepared(again).await.unwrap();
    let later = NOW + TimeDelta::days(75);
    // It is left for the next time, and nobody is waited for.
    assert!(!store.forget_usage_keys(later).await.unwrap());
    counting.commit().await.unwrap();
    assert!(!store.forget_usage_keys(later).await.unwrap());
    let keys = "SELECT count(*) FROM entitlement_usage_keys";
    assert_eq!(number(&database, keys).await, 1);
}

on_both! {
    async fn what_is_given_back_for_a_tenant_that_there_is_not_leaves_nothing_behind(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        for tenant in 100..120 {
            let request = ReleaseUsageRequest {
                tenant_id: id(tenant),
                meter: ORDERS.into(),
                key: "a".into(),
                only_held: false,
            };
            let released = client.release_usage(request).await.unwrap().into_inner();
            assert_eq!(released.released_amount, 0);
            assert_eq!(released.state.unwrap().reason(), LimitReason::TenantDenied);
        }
        let counters = "SELECT count(*) FROM entitlement_usage_counters";
        assert_eq!(number(&server.database, counters).await, 0);
    }
}
