//! What was used, and is all new: PostgreSQL writes it down without a look first. What is not so goes
//! the other way, and nobody can tell which it was.

use std::{collections::BTreeMap, sync::Arc};

use entitlementd::proto::v1::{
    RecordUsageRequest, ReserveUsageRequest, UsageEvent, UsageOutcome as Outcome,
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::{sync::Mutex, task::JoinSet};
use tonic::{Code, Status};

use crate::{
    harness::{Database, Row, Server, dice::Dice, id, postgres, proxy::Proxy},
    usage::{Client, ORDERS, client, mk_customer, order, release, reserve},
    usage_recorded::{Recorder, event},
};

const SEED: u64 = 20_261_130;

fn of_tenant(tenant: u32, key: &str) -> UsageEvent {
    UsageEvent { tenant_id: id(tenant), ..event(key, 1) }
}

async fn used(client: &mut Client) -> i64 {
    release(client, ORDERS, "nothing").await.state.unwrap().used
}

async fn started_without_limits(database: Database) -> (Server, Client) {
    mk_customer(&database).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    let server = Server::start_with(database, &["--changes", "off"]).await;
    let client = client(&server).await;
    (server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_new_keys_is_one_message_to_the_database() {
    let direct = Database::postgres().await;
    mk_customer(&direct).await;
    let proxy = Proxy::to(postgres::shared().port()).await;
    let server = Server::start_with(direct.behind(&proxy).await, &["--changes", "off"]).await;
    let mut client = client(&server).await;
    // The tenant's time zone is known then, and its meter has been counted with.
    assert!(reserve(&mut client, order("first", 1)).await.granted);
    let mut recorder = Recorder::open(&mut client).await;
    let before = proxy.round_trips();
    for message in 0..40 {
        let events = (0..25).map(|number| event(&format!("o-{message}-{number}"), 2)).collect();
        assert_eq!(recorder.record(events).await, [Outcome::Counted; 25]);
    }
    // The server asks about other things meanwhile, but not as much as that.
    let trips = proxy.round_trips() - before;
    assert!(trips < 60, "{trips} round trips for 40 messages");
    assert_eq!(used(&mut client).await, 1 + 40 * 25 * 2);
    direct.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_name_that_a_key_may_have_is_counted_under_that_name() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    let mut recorder = Recorder::open(&mut client).await;
    let names =
        ["null", "NULL", r#"""#, r"\", "{}", "a,b", "'", "'';--", "$1", "%s", "o:1/2.3-4_5", "~"];
    for _ in 0..2 {
        let events = names.iter().map(|name| event(name, 3)).collect();
        let outcomes = recorder.record(events).await;
        let all_are = |outcome| outcomes.iter().all(|it| *it == outcome);
        assert!(all_are(Outcome::Counted) || all_are(Outcome::Repeated), "{outcomes:?}");
    }
    for name in names {
        assert_eq!(release(&mut client, ORDERS, name).await.released_amount, 3, "{name}");
    }
    assert_eq!(used(&mut client).await, 0);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_that_was_here_before_takes_nothing_from_the_others() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    let mut recorder = Recorder::open(&mut client).await;
    assert_eq!(recorder.record(vec![event("old", 1)]).await, [Outcome::Counted]);
    let both =
        vec![event("a", 5), event("old", 1), of_tenant(2, "old"), event("old", 2), event("b", 5)];
    let outcomes = recorder.record(both).await;
    let (counted, repeated) = (Outcome::Counted, Outcome::Repeated);
    assert_eq!(outcomes, [counted, repeated, counted, Outcome::Conflict, counted]);
    assert_eq!(used(&mut client).await, 11);
    // More than anybody can count, together with what is there.
    for amount in [i64::MAX / 2, 1_000_000_000_000] {
        let fill = format!("UPDATE entitlement_usage_counters SET used = {} - {amount}", i64::MAX);
        server.database.execute(&fill).await;
        let outcomes = recorder.record(vec![event(&amount.to_string(), 1_000_000_000_000)]).await;
        let is_too_much = amount < i64::MAX / 2;
        let outcome =
            if is_too_much { outcomes[0] == Outcome::Counted } else { outcomes[0] == counted };
        assert!(outcome, "{amount}: {outcomes:?}");
    }
    let outcomes = recorder.record(vec![event("more", 1)]).await;
    assert_eq!(outcomes, [Outcome::Invalid]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_whose_keys_are_repeated_is_looked_at_first_on_whichever_stream() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    for tenant in [1, 2] {
        let first = ReserveUsageRequest { tenant_id: id(tenant), ..order("first", 1) };
        assert!(reserve(&mut client, first).await.granted);
    }
    let name = server.database.name.clone();
    let mut tried = Vec::new();
    for (tenant, keys) in [(1, "a b"), (1, "c d"), (1, "d e"), (1, "f g"), (2, "a b")] {
        let mut recorder = Recorder::open(&mut client).await;
        recorder.record(keys.split(' ').map(|key| of_tenant(tenant, key)).collect()).await;
        let lines = postgres::shared().lines_of_statements(&name).await;
        tried.push(lines.iter().filter(|it| it.contains("entitlement_usage_record(")).count());
    }
    assert_eq!(tried, [1, 2, 3, 3, 4], "not after the one that repeats, but for another tenant");
    assert_eq!(used(&mut client).await, 8);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thing_and_what_corrects_it_may_be_in_one_message() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let (server, mut client) = started_without_limits(database).await;
        assert!(reserve(&mut client, order("first", 1)).await.granted);
        let correction = |key: &str, corrects: &str, amount: i64| UsageEvent {
            corrects_key: corrects.into(),
            ..event(key, -amount)
        };
        let message =
            vec![event("o", 5), correction("c", "o", 2), event("p", 4), correction("d", "p", 4)];
        for outcome in [Outcome::Counted, Outcome::Repeated] {
            let mut recorder = Recorder::open(&mut client).await;
            assert_eq!(recorder.record(message.clone()).await, [outcome; 4]);
            assert_eq!(used(&mut client).await, 1 + 3);
            server.database.verify_usage().await;
        }
        assert_eq!(release(&mut client, ORDERS, "o").await.released_amount, 3);
        assert_eq!(used(&mut client).await, 1);
        server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_role_may_not_do_by_one_call_it_does_by_two() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    assert!(reserve(&mut client, order("first", 1)).await.granted);
    // What is said to a role without the right to call it.
    let refuse =
        "DO $$ DECLARE text text := pg_get_functiondef('entitlement_usage_record'::regproc); BEGIN
        EXECUTE regexp_replace(text, 'BEGIN', 'BEGIN RAISE insufficient_privilege;'); END $$";
    server.database.execute(refuse).await;
    let mut recorder = Recorder::open(&mut client).await;
    assert_eq!(recorder.record(vec![event("a", 1)]).await, [Outcome::Counted]);
    assert_eq!(used(&mut client).await, 2);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_counted_for_a_tenant_that_was_deleted_since() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    let mut recorder = Recorder::open(&mut client).await;
    let first = recorder.record(vec![event("a", 1), of_tenant(2, "a")]).await;
    assert_eq!(first, [Outcome::Counted; 2]);
    let delete = format!(
        "DELETE FROM tenant_subscriptions WHERE tenant_id = '{0}'; DELETE FROM tenants WHERE id = '{0}'",
        id(2)
    );
    server.database.execute(&delete).await;
    let after = recorder.record(vec![event("b", 1), of_tenant(2, "b")]).await;
    assert_eq!(after, [Outcome::Counted, Outcome::UnknownTenant]);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_the_function_is_counted_in_nevertheless() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    let drop = "DO $$ BEGIN EXECUTE 'DROP FUNCTION ' || 'entitlement_usage_record'::regproc::oid::regprocedure; END $$";
    server.database.execute(drop).await;
    let mut recorder = Recorder::open(&mut client).await;
    let outcomes = recorder.record(vec![event("a", 1), event("a", 1)]).await;
    assert_eq!(outcomes, [Outcome::Counted, Outcome::Repeated]);
    assert_eq!(recorder.record(vec![event("b", 1)]).await, [Outcome::Counted]);
    assert_eq!(used(&mut client).await, 2);
    server.database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_somebody_sits_on_stops_no_other_tenants_messages() {
    let (server, mut client) = started_without_limits(Database::postgres().await).await;
    let mut recorder = Recorder::open(&mut client).await;
    let both = vec![event("a", 1), of_tenant(2, "a")];
    assert_eq!(recorder.record(both).await, [Outcome::Counted; 2]);
    let sitter = server.database.again().await;
    let sitting = sitter.connection.begin().await.unwrap();
    let sit =
        format!("SELECT FROM entitlement_usage_counters WHERE tenant_id = '{}' FOR UPDATE", id(1));
    sitting.execute_unprepared(&sit).await.unwrap();
    let message = RecordUsageRequest { events: vec![event("b", 1)], ..Default::default() };
    let mut stuck = Recorder::open(&mut client).await;
    let free = async {
        for number in 0..10 {
            let outcomes = recorder.record(vec![of_tenant(2, &format!("o-{number}"))]).await;
            assert_eq!(outcomes, [Outcome::Counted]);
        }
    };
    let (locked, ()) = tokio::join!(stuck.send(message.clone()), free);
    let status: Status = locked.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    sitting.rollback().await.unwrap();
    let mut again = Recorder::open(&mut client).await;
    assert_eq!(again.record(message.events).await, [Outcome::Counted]);
    server.database.verify_usage().await;
}

/// How often each key was told to be new.
type New = Arc<Mutex<BTreeMap<(u32, String), usize>>>;

const KEYS: usize = 150;

fn any_key(dice: &mut Dice) -> (u32, String) {
    (1 + dice.below(2) as u32, format!("o-{}", dice.below(KEYS)))
}

async fn record_any(mut client: Client, mut dice: Dice, whose: u64, new: New) {
    let mut recorder = Recorder::open(&mut client).await;
    for number in 0..40 {
        let mut keys: Vec<_> = (0..dice.below(8)).map(|_| any_key(&mut dice)).collect();
        keys.extend((0..5).map(|own| (1, format!("own-{whose}-{number}-{own}"))));
        let events = keys.iter().map(|(tenant, key)| of_tenant(*tenant, key)).collect();
        let outcomes = recorder.record(events).await;
        let mut new = new.lock().await;
        for (key, outcome) in keys.into_iter().zip(outcomes) {
            assert!([Outcome::Counted, Outcome::Repeated].contains(&outcome), "{outcome:?}");
            *new.entry(key).or_default() += usize::from(outcome == Outcome::Counted);
        }
    }
}

async fn reserve_any(mut client: Client, mut dice: Dice, new: New) {
    for _ in 0..150 {
        let (tenant, key) = any_key(&mut dice);
        let mut request = order(&key, 1);
        request.tenant_id = id(tenant);
        let answer = client.reserve_usage(request).await.unwrap().into_inner();
        assert!(answer.granted, "{answer:?}");
        *new.lock().await.entry((tenant, key)).or_default() +=
            usize::from(!answer.repeated_request);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_counted_once_whoever_records_and_reserves_it_at_the_same_time() {
    let database = Database::postgres().await;
    let (first, mut client_of_first) = started_without_limits(database).await;
    let again = first.database.again().await;
    let second = Server::start_with(again, &["--changes", "off"]).await;
    let clients = [client_of_first.clone(), client(&second).await];
    let new = New::default();
    let mut all = JoinSet::new();
    for whose in 0..6 {
        let client = clients[whose as usize % 2].clone();
        all.spawn(record_any(client.clone(), Dice::of(SEED, whose), whose, Arc::clone(&new)));
        all.spawn(reserve_any(client, Dice::of(SEED, 100 + whose), Arc::clone(&new)));
    }
    all.join_all().await;
    let new = new.lock().await;
    let wrong: Vec<_> = new.iter().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "told to be new so often: {wrong:?}");
    let of_first = new.keys().filter(|(tenant, _)| *tenant == 1).count();
    assert_eq!(used(&mut client_of_first).await, of_first as i64);
    first.database.verify_usage().await;
}
