//! Levels that are put right each night.

use chrono::TimeDelta;

use crate::{
    harness::{Database, Server, until_so},
    usage::{USERS, release, reserve, started, user},
    usage_kept::mk_users,
};

const ACTIVE: &str = "users=SELECT id FROM {schema}.users WHERE is_active";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_put_right_each_night_by_one_of_the_servers() {
    let nightly = ["--reconcile-usage", ACTIVE, "--reconcile-usage-at", "03:00"];
    let (server, mut client) = started(Database::postgres().await, &nightly).await;
    let database = server.database.again().await;
    mk_users(&database, &[(1, 2)]).await;
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let other = Server::start_with(database.again().await, &[&flags[..], &nightly].concat()).await;
    assert!(reserve(&mut client, user("gone")).await.granted);
    // It is noon. Nothing happens before the night.
    let night = TimeDelta::hours(24);
    for server in [&server, &other] {
        server.clock.advance(night);
    }
    let mut users = async || release(&mut client, USERS, "nothing").await.state.unwrap().used;
    until_so("the level is right", async || users().await == 2).await;
    // The next night finds what has changed by then.
    let schema = "SELECT database_schema AS name FROM tenants";
    let schema: String = database.one(schema).await.try_get("", "name").unwrap();
    database.execute(&format!("INSERT INTO \"{schema}\".users VALUES ('ann', true)")).await;
    for server in [&server, &other] {
        server.clock.advance(night);
    }
    until_so("and so is the next one", async || users().await == 3).await;
    let nights =
        "SELECT string_agg(meter || ' ' || day, ', ') AS nights FROM entitlement_usage_nights";
    let nights: String = database.one(nights).await.try_get("", "nights").unwrap();
    assert_eq!(nights, "users 2026-11-25");
    database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_is_one_servers_and_comes_once() {
    let database = Database::sqlite().await;
    let store = crate::folding::open(&database).await;
    let day = |text: &str| entitlementd::domain::calendar::Day::parse(text).unwrap();
    for (night, is_ours) in
        [("2026-11-24", true), ("2026-11-24", false), ("2026-11-23", false), ("2026-11-25", true)]
    {
        assert_eq!(store.claim_night(USERS, day(night)).await.unwrap(), is_ours, "{night}");
    }
    assert!(store.claim_night("shops", day("2026-11-24")).await.unwrap());
}
