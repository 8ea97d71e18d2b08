//! What listens to changes, at an address of its own.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;

use super::{Followed, Load, Role, database_on, serve, until_it_is};
use crate::harness::{Database, postgres::Cluster, process::Process, until_so};

/// How soon a change is heard of that was written while what listens moves: once it is looked for
/// without a notice.
const HEARD: Duration = Duration::from_secs(3);

pub(super) const LISTENS: &str = "application_name = 'entitlementd feed'";

/// Waits until somebody listens in this database, and nobody in others.
async fn until_there_is_one(cluster: &Cluster, database: &Database) {
    let listens = format!("SELECT string_agg(datname, ' ') FROM pg_stat_activity WHERE {LISTENS}");
    until_so("it listens there", async || {
        cluster.ask::<Option<String>>(&listens).await.as_ref() == Some(&database.name)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_listens_moves_and_no_change_is_missed() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 2).await;
    let roles = [
        Role::new(&cluster, &database, "one", "secret-1").await,
        Role::new(&cluster, &database, "two", "secret-2").await,
    ];
    let urls = [roles[0].url("secret-1"), roles[1].url("secret-2")];
    let (url, listen) = (Followed::with(&database.url), Followed::with(&urls[0]));
    // Nothing but a notice, or the look while it listens, brings a change.
    let flags = ["--listen-database-url-file", &listen.name(), "--poll-interval", "1h"];
    let flags = [&flags[..], &["--changes", "listen", "--revalidate-max-rate", "0"]].concat();
    let mut server = serve(&database, &url, &flags).await;
    for round in 0..6 {
        let [from, to] = [&roles[round % 2], &roles[(round + 1) % 2]];
        until_so("it listens", async || from.count(LISTENS).await == 1).await;
        listen.put(&urls[(round + 1) % 2]);
        server.running.reload();
        while to.count(LISTENS).await == 0 || from.count("true").await > 0 {
            for (status, reason) in [
                ("suspended", DecisionReason::TenantSuspended),
                ("active", DecisionReason::Enabled),
            ] {
                database.set_status(1, status).await;
                let written = Instant::now();
                until_it_is(&mut server, 1, reason).await;
                assert!(written.elapsed() < HEARD, "{:?}", written.elapsed());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_listens_follows_the_database_to_another_and_never_goes_there_alone() {
    let cluster = Cluster::start(&[]);
    let [old, new] = [database_on(&cluster, 2).await, database_on(&cluster, 1).await];
    let (url, listen) = (Followed::with(&old.url), Followed::with(&old.url));
    let mut server = Process::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--database-url-file",
        &url.name(),
        "--listen-database-url-file",
        &listen.name(),
        "--changes",
        "listen",
    ]);
    server.wait_for("listening to changes");
    listen.put(&new.url);
    server.wait_for("leads to another database than the database's own URL; the previous");
    url.put(&new.url);
    server.wait_for("--database-url-file has changed, and is in effect");
    server.wait_for("changes are listened to at");
    until_there_is_one(&cluster, &new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_moves_before_what_listens_does_is_polled_meanwhile() {
    let cluster = Cluster::start(&[]);
    let [old, new] = [database_on(&cluster, 3).await, database_on(&cluster, 2).await];
    let (url, listen) = (Followed::with(&old.url), Followed::with(&old.url));
    let flags = ["--listen-database-url-file", &listen.name(), "--poll-interval", "20ms"];
    let mut server = serve(&old, &url, &flags).await;
    assert!(server.check(2, "finance").await.allowed);
    url.put(&new.url);
    until_it_is(&mut server, 2, DecisionReason::TenantNotFound).await;
    new.set_status(1, "suspended").await;
    until_it_is(&mut server, 1, DecisionReason::TenantSuspended).await;
    listen.put(&new.url);
    until_there_is_one(&cluster, &new).await;
    new.set_status(1, "active").await;
    until_it_is(&mut server, 1, DecisionReason::Enabled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_listens_moves_where_there_is_one_connection_beside_it() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 10).await;
    let role = Role::new(&cluster, &database, "listening", "secret").await;
    let (url, listen) = (Followed::with(&database.url), Followed::with(&database.url));
    let flags = ["--listen-database-url-file", &listen.name(), "--database-max-connections", "2"];
    let server = serve(&database, &url, &flags).await;
    until_there_is_one(&cluster, &database).await;
    let load = Load::on(&server.client, 10);
    load.goes_on().await;
    // It cannot be listened to there yet, however often that is tried.
    listen.put(&role.url("wrong"));
    until_so("it is tried again and again", async || {
        cluster.log().matches("password authentication failed for user \"listening\"").count() > 3
    })
    .await;
    load.goes_on().await;
    listen.put(&role.url("secret"));
    until_so("it listens there", async || role.count(LISTENS).await == 1).await;
    load.goes_on().await;
    load.end().await;
}
