//! Many tenants in one statement: each is what it is by itself, whatever stands between.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    domain::{Label, TenantId},
    store::{
        ChangeLog, ConnectOptions, Durations, LoadTenant, Loaded, Pooler, Source, Store,
        StoreError, TenantKey,
    },
};

use crate::harness::{Database, NOW, Row, id, pooler, postgres};

fn by_id(number: u32) -> TenantKey {
    TenantKey::Id(TenantId::parse(&id(number)).unwrap())
}

fn by_subdomain(label: &str) -> TenantKey {
    TenantKey::Subdomain(Label::parse(label).unwrap())
}

pub async fn store(url: &str, pooler: Pooler, log: ChangeLog) -> Store {
    let second = Duration::from_secs(5);
    let durations =
        Durations { acquire: second, connect: second, start: second, statement: Some(second) };
    let options = ConnectOptions {
        url,
        ca: None,
        pooler,
        max_connections: 2,
        keeps_shares: false,
        durations,
        create: false,
    };
    Store::open(&options, log).await.unwrap()
}

/// Tenants with no, one and many subscriptions, one with every column in use, and several changes.
async fn fill(database: &Database) {
    for number in 0..6 {
        database
            .mk_tenant(
                number,
                &format!("t{number}"),
                if number == 3 { "suspended" } else { "active" },
            )
            .await;
    }
    database.mk_subscription(1, "finance", Row::default()).await;
    let row = Row { status: "cancelled", starts: -60, expires: Some(60), ..Row::default() };
    database.mk_subscription(2, "finance", row).await;
    let trial = Row { is_trial: true, trial_ends: Some(5), ..Row::default() };
    database.mk_subscription(2, "hrms", trial).await;
    for module in ["finance", "hrms", "marketing", "procurement", "crm_service"] {
        database.mk_subscription(4, module, Row::default()).await;
    }
    database.set_status(5, "pending").await;
}

fn keys() -> Vec<TenantKey> {
    let nobody = by_id(77);
    let by_ids = (0..6).map(by_id).chain([nobody]);
    by_ids.chain(["t5", "t2", "nobody", "t4"].map(by_subdomain)).collect()
}

/// What may be compared of an outcome.
fn shown(outcome: &Result<Loaded, StoreError>) -> String {
    match outcome {
        Ok(Loaded { revision, facts, .. }) => format!("{revision} {facts:?}"),
        Err(error) => error.to_string(),
    }
}

async fn assert_the_same_together(store: &Store, keys: &[TenantKey], now: DateTime<Utc>) {
    let together = store.load_tenants(keys, Source::Primary, now).await.unwrap().value;
    assert_eq!(together.len(), keys.len());
    for (key, together) in keys.iter().zip(&together) {
        let alone = store
            .load_tenants(std::slice::from_ref(key), Source::Primary, now)
            .await
            .unwrap()
            .value;
        assert_eq!([shown(together)], *alone.iter().map(shown).collect::<Vec<_>>(), "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_are_read_together_are_what_they_are_by_themselves() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        fill(&database).await;
        for log in [ChangeLog::Wanted, ChangeLog::LeftOut] {
            let store = store(&database.url, Pooler::None, log).await;
            let keys = keys();
            for now in [NOW, NOW + TimeDelta::days(1)] {
                assert_the_same_together(&store, &keys, now).await;
                assert_the_same_together(&store, &keys[..2], now).await;
                assert_the_same_together(&store, &keys[8..], now).await;
            }
            let found = store.load_tenants(&keys, Source::Primary, NOW).await.unwrap().value;
            let exist: Vec<bool> =
                found.iter().map(|found| found.as_ref().unwrap().facts.is_some()).collect();
            assert_eq!(exist, [true, true, true, true, true, true, false, true, true, false, true]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pooler_that_knows_no_sessions_they_are_the_same() {
    let database = Database::postgres().await;
    fill(&database).await;
    let pooler = pooler::Pooler::to(postgres::shared().port(), &[]);
    let store = store(&pooler.url(&database.name), Pooler::Transaction, ChangeLog::Wanted).await;
    assert_the_same_together(&store, &keys(), NOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_one_subdomain_are_an_error_of_that_subdomain_only() {
    let database = Database::postgres().await;
    fill(&database).await;
    database.execute("ALTER TABLE tenants DROP CONSTRAINT IF EXISTS tenants_subdomain_key").await;
    database.execute("DROP INDEX IF EXISTS idx_tenants_subdomain, tenants_subdomain_key, ix_tenants_subdomain").await;
    database.execute("UPDATE tenants SET subdomain = 't2' WHERE subdomain = 't0'").await;
    let store = store(&database.url, Pooler::None, ChangeLog::Wanted).await;
    let keys = [by_subdomain("t2"), by_subdomain("t1"), by_id(2), by_id(0)];
    assert_the_same_together(&store, &keys, NOW).await;
    let found = store.load_tenants(&keys, Source::Primary, NOW).await.unwrap().value;
    assert!(matches!(found[0], Err(StoreError::Unreadable { .. })));
    assert!(found[1..].iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_are_one_statement() {
    let database = Database::postgres().await;
    fill(&database).await;
    let store = store(&database.url, Pooler::None, ChangeLog::Wanted).await;
    let named = (0..50).map(|number| by_subdomain(&format!("t{number}")));
    let keys: Vec<TenantKey> = (0..50).map(by_id).chain(named).collect();
    let before = postgres::shared().statements(&database.name).await;
    let found = store.load_tenants(&keys, Source::Primary, NOW).await.unwrap().value;
    assert_eq!(found.iter().filter(|found| found.as_ref().unwrap().facts.is_some()).count(), 12);
    assert_eq!(postgres::shared().statements(&database.name).await - before, 1);
}
