//! What is in the file, and when.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use entitlementd::proto::replication::TenantStatus;

use super::{World, tenants_in};
use crate::{
    harness::{
        Database, NOW, Row, Server,
        process::{self, Process, prlimit},
        server::check_request,
        until, until_so,
    },
    metrics::SHOWN,
};

const FED: &[&str] = &["--poll-interval", "20ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_in_the_file_within_seconds_and_only_its_user_may_read_it() {
    let world = World::new(FED).await;
    let mut server = world.start_at(NOW).await;
    server.wait_until_ready().await;
    server.until_held(1, "finance").await;
    world.database.set_status(1, "suspended").await;
    until_so("the suspension is in the file", async || {
        let tenants = tenants_in(&world.file()).unwrap_or_default();
        tenants.iter().any(|(facts, is_outdated)| {
            let status = facts.tenant.as_ref().unwrap().status();
            status == TenantStatus::Suspended && !is_outdated
        })
    })
    .await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&world.directory()), mode(&world.file())), (0o700, 0o600));
    server.until_metrics(|metrics| metrics.of("state_file_bytes") > 100.0).await;
    assert_eq!(server.metrics().await.of("state_file_failures_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_which_nothing_is_different_is_left_alone_for_half_a_minute() {
    let world = World::new(FED).await;
    let mut server = world.start_at(NOW).await;
    server.wait_until_ready().await;
    server.until_held(1, "finance").await;
    until_so("tenant 1 is in the file", async || {
        tenants_in(&world.file()).is_some_and(|tenants| tenants.len() == 1 && !tenants[0].1)
    })
    .await;
    let written = || world.file().metadata().and_then(|found| found.modified()).ok();
    // The clock stands still, and with it all proof; whether something is due is looked at each
    // second, and 2 500 ms are two of these.
    let before = written();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(written(), before);
    server.advance(31);
    until_so("its proof is renewed", async || written() != before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_sqlite_holds_what_it_held() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("state");
    let flags = [&SHOWN[..], &["--state-dir", directory.to_str().unwrap()]].concat();
    let mut server = Server::start_with(database.again().await, &flags).await;
    server.until_held(1, "finance").await;
    server.running.stop().await.unwrap();
    assert_eq!(tenants_in(&directory.join("held.state")).unwrap().len(), 1);
    let mut server = Server::start_with(database, &flags).await;
    server.until_readyz(200, "ready").await;
    assert_eq!(server.metrics().await.of("cache_entries"), 1.0);
    let answer = server.check(1, "finance").await;
    assert!(answer.allowed && !answer.freshness.unwrap().stale);
}

/// A process on SQLite that keeps its state there, and its address.
async fn serve(database: &Database, directory: &Path) -> (Process, String) {
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &database.url,
        "--poll-interval",
        "20ms",
        "--state-dir",
        directory.to_str().unwrap(),
    ];
    let mut server = Process::serve(&flags);
    let address = server.address();
    process::until_serving(&address).await;
    (server, address)
}

/// How often a server is killed.
const KILLED: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_writes_leaves_a_file_that_is_whole() {
    let database = Database::sqlite().await;
    for number in 0..100 {
        database.mk_subscribed(number, "finance", Row::default()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("state");
    let (file, unfinished) = (directory.join("held.state"), directory.join("held.state.new"));
    let mut caught = 0;
    for round in 0..=KILLED {
        let (mut server, address) = serve(&database, &directory).await;
        assert!(!server.logged.contains("nothing is restored"), "{}", server.logged);
        assert_eq!(server.logged.contains("were restored"), round > 0, "{}", server.logged);
        let mut client = process::connect(&address).await;
        for number in 0..100 {
            client.check_module(check_request(number, "finance")).await.unwrap();
        }
        until("everything is kept", || tenants_in(&file).is_some_and(|held| held.len() == 100));
        let status = ["active", "pending"][round % 2];
        database.execute(&format!("UPDATE tenants SET status = '{status}'")).await;
        // That is written as soon as it was heard of. A look each few milliseconds would come late.
        let started = Instant::now();
        while !unfinished.exists() && started.elapsed() < Duration::from_secs(10) {
            std::hint::spin_loop();
        }
        caught += usize::from(unfinished.exists());
        server.signal("KILL");
        server.child.wait().unwrap();
        assert_eq!(tenants_in(&file).unwrap().len(), 100);
    }
    assert!(caught > 0, "no server was caught while it wrote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_keeps_nobody_from_an_answer_and_leaves_the_file_that_was() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("state");
    let (mut server, address) = serve(&database, &directory).await;
    let mut client = process::connect(&address).await;
    client.check_module(check_request(1, "finance")).await.unwrap();
    let file = directory.join("held.state");
    until("the tenant is kept", || {
        tenants_in(&file).is_some_and(|held| held.len() == 1 && !held[0].1)
    });
    prlimit(&server, "10:unlimited");
    let before = fs::read(&file).unwrap();
    client.check_module(check_request(2, "finance")).await.unwrap();
    let line = server.wait_for("what is held cannot be kept in");
    assert!(line.contains("held.state"), "{line}");
    let answer = client.check_module(check_request(1, "finance")).await.unwrap().into_inner();
    assert!(answer.allowed && !answer.freshness.unwrap().stale);
    assert_eq!(fs::read(&file).unwrap(), before);
    prlimit(&server, "unlimited:unlimited");
    until("there is room again", || tenants_in(&file).is_some_and(|held| held.len() == 2));
}
