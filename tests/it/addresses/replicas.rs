//! Replicas that come and go.

use entitlementd::proto::v1::DecisionReason;

use super::{Followed, Role, database_on, serve, until_it_is};
use crate::{
    harness::{Server, http::Metrics, postgres::Cluster, process::Process, until_so},
    replicas::loads,
};

/// The numbers of replicas, and of those that loads may be read from.
async fn replicas(server: &Server) -> [f64; 2] {
    let metrics = Metrics::read(server.running.metrics_address.unwrap()).await;
    ["replicas", "replicas_usable"].map(|name| metrics.of(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_added_takes_loads_and_one_that_is_removed_takes_none() {
    let primary = Cluster::start(&[]);
    let database = database_on(&primary, 60).await;
    let replica = Cluster::standby_of(&primary, &[]);
    replica.catch_up(&primary).await;
    let file = Followed::with("# none yet");
    let flags = [
        "--replica-database-url-file",
        &file.name(),
        "--metrics-listen",
        "127.0.0.1:0",
        "--changes",
        "listen",
        "--revalidate-max-rate",
        "0",
    ];
    let name = database.name.clone();
    let mut server = Server::start_with(database, &flags).await;
    assert_eq!(replicas(&server).await, [0.0, 0.0]);
    file.put(&format!("# the first\n{}\n", replica.url(&name)));
    until_so("the replica is usable", async || replicas(&server).await == [1.0, 1.0]).await;
    let before = [loads(&primary).await, loads(&replica).await];
    for tenant in 0..30 {
        assert!(server.check(tenant, "finance").await.allowed);
    }
    let after = [loads(&primary).await, loads(&replica).await];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [0, 30]);

    file.put("# none");
    until_so("the replica is gone", async || replicas(&server).await == [0.0, 0.0]).await;
    for tenant in 30..60 {
        assert!(server.check(tenant, "finance").await.allowed);
    }
    assert_eq!([loads(&primary).await - after[0], loads(&replica).await - after[1]], [30, 0]);
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'entitlementd'";
    until_so("nobody is left there", async || replica.ask::<i64>(ours).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_replicas_with_a_wrong_one_changes_nothing() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 1).await;
    let file = Followed::with("postgres://nobody:s3cret-1@127.0.0.1:1/nothing");
    let mut server = Process::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &database.url,
        "--replica-database-url-file",
        &file.name(),
    ]);
    server.wait_for("\"ready\"");
    file.put("postgres://nobody:s3cret-2@127.0.0.1:1/nothing\nnobody:s3cret-3@somewhere");
    let line =
        server.wait_for("--replica-database-url-file has changed, and has a URL that is not");
    assert!(line.contains("the previous contents stay in effect"), "{line}");
    file.put("postgres://nobody:s3cret-2@127.0.0.1:1/nothing");
    let line = server.wait_for("the replicas are postgres://127.0.0.1:1/nothing");
    assert!(line.contains("is in effect from now on"), "{line}");
    for cut_off in ["", "# the first of two"] {
        file.put(cut_off);
        let line = server.wait_for("--replica-database-url-file has changed, and holds no URL");
        assert!(line.contains("the previous contents stay in effect"), "{line}");
        file.put("postgres://nobody:s3cret-2@127.0.0.1:1/nothing");
        server.wait_for("--replica-database-url-file is what it was");
    }
    file.put("# none");
    server.wait_for("there are no replicas");
    assert!(!server.logged.contains("s3cret"), "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_the_database_that_was_left_is_not_used() {
    let [before, after] = [Cluster::start(&[]), Cluster::start(&[])];
    let [old, new] = [database_on(&before, 20).await, database_on(&after, 20).await];
    new.execute("UPDATE tenants SET status = 'suspended'").await;
    // Its log is longer by far than the new one's.
    for _ in 0..3 {
        before.execute("CREATE TABLE grown (); DROP TABLE grown").await;
        before.execute("SELECT pg_switch_wal()").await;
    }
    let replica = Cluster::standby_of(&before, &[]);
    replica.catch_up(&before).await;
    let url = Followed::with(&old.url);
    let flags =
        ["--replica-database-url", &replica.url(&old.name), "--metrics-listen", "127.0.0.1:0"];
    let flags = [&flags[..], &["--changes", "listen"]].concat();
    let mut server = serve(&old, &url, &flags).await;
    until_so("the replica is usable", async || replicas(&server).await == [1.0, 1.0]).await;
    assert!(server.check(0, "finance").await.allowed);
    url.put(&new.url);
    until_it_is(&mut server, 0, DecisionReason::TenantSuspended).await;
    let read = loads(&replica).await;
    // A statement for each, so that one of them would be read there.
    for tenant in 1..5 {
        until_checked_again(&after).await;
        assert!(!server.check(tenant, "finance").await.allowed, "tenant {tenant}");
    }
    assert_eq!(loads(&replica).await, read);
    assert_eq!(replicas(&server).await, [1.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_used_after_a_failover_only_if_it_follows_the_new_primary() {
    let mut before = Cluster::start(&[]);
    let old = database_on(&before, 20).await;
    // Roles that serve need not see what a replica receives.
    old.execute("CREATE ROLE plain LOGIN IN ROLE entitlementd_server, pg_read_all_data").await;
    let [after, ahead, follows] = [(); 3].map(|()| Cluster::standby_of(&before, &[]));
    for standby in [&after, &follows] {
        standby.catch_up(&before).await;
        standby.stop_following().await;
    }
    // Only one of them gets what is committed from here on, and its log is the longest.
    old.execute("UPDATE tenants SET status = 'suspended'").await;
    for _ in 0..3 {
        before.execute("CREATE TABLE grown (); DROP TABLE grown").await;
        before.execute("SELECT pg_switch_wal()").await;
    }
    ahead.catch_up(&before).await;
    let url = Followed::with(&old.url);
    let of_replicas = [&ahead, &follows].map(|replica| {
        let url = replica.url(&old.name).replace("postgres@", "plain@");
        ["--replica-database-url".to_owned(), url]
    });
    let flags: Vec<_> = of_replicas.as_flattened().iter().map(String::as_str).collect();
    let flags = [&flags[..], &["--metrics-listen", "127.0.0.1:0", "--changes", "listen"]].concat();
    let mut server = serve(&old, &url, &flags).await;
    until_so("one replica is usable", async || replicas(&server).await == [2.0, 1.0]).await;
    assert!(!server.check(0, "finance").await.allowed);

    before.kill_hard();
    after.promote().await;
    url.put(&after.url(&old.name));
    until_it_is(&mut server, 0, DecisionReason::Enabled).await;
    until_checked_again(&after).await;
    until_so("none is usable", async || replicas(&server).await == [2.0, 0.0]).await;
    let read = loads(&ahead).await;
    for tenant in 1..5 {
        until_checked_again(&after).await;
        assert!(server.check(tenant, "finance").await.allowed, "tenant {tenant}");
    }
    assert_eq!(loads(&ahead).await, read);

    follows.follow(&after).await;
    // A replica writes at once that a table is gone.
    after.execute("CREATE TABLE grown (); DROP TABLE grown").await;
    until_so("one is usable again", async || replicas(&server).await == [2.0, 1.0]).await;
    let read = loads(&follows).await;
    for tenant in 5..10 {
        assert!(server.check(tenant, "finance").await.allowed, "tenant {tenant}");
    }
    assert!(loads(&follows).await > read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_works_stays_until_its_new_password_works() {
    let primary = Cluster::start(&[]);
    let database = database_on(&primary, 20).await;
    let role = Role::new(&primary, &database, "reader", "first").await;
    let replica = Cluster::standby_of(&primary, &[]);
    replica.catch_up(&primary).await;
    let ports = [&primary, &replica].map(|cluster| format!(":{}/", cluster.port()));
    let url = |password| role.url(password).replace(&ports[0], &ports[1]);
    let file = Followed::with(&url("first"));
    let flags = ["--replica-database-url-file", &file.name(), "--metrics-listen", "127.0.0.1:0"];
    let flags = [&flags[..], &["--changes", "listen"]].concat();
    let mut server = Server::start_with(database.again().await, &flags).await;
    until_so("the replica is usable", async || replicas(&server).await == [1.0, 1.0]).await;
    let old: String = replica
        .ask("SELECT string_agg(pid::text, ', ') FROM pg_stat_activity WHERE usename = 'reader'")
        .await;

    // What rotates passwords often writes the file first.
    file.put(&url("second"));
    let refused = || replica.log().matches("password authentication failed").count();
    until_so("the new password was tried twice", async || refused() > 1).await;
    assert_eq!(replicas(&server).await, [1.0, 1.0]);
    let read = loads(&replica).await;
    for tenant in 0..5 {
        assert!(server.check(tenant, "finance").await.allowed);
    }
    assert_eq!(loads(&replica).await - read, 5);

    role.set_password("second").await;
    let left = format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({old})");
    until_so("the old connections end", async || replica.ask::<i64>(&left).await == 0).await;
    until_so("the replica is usable", async || replicas(&server).await == [1.0, 1.0]).await;
    let read = loads(&replica).await;
    for tenant in 5..10 {
        assert!(server.check(tenant, "finance").await.allowed);
    }
    assert_eq!(loads(&replica).await - read, 5);
}

/// Waits until the server has asked this primary once more how far its replicas should be.
async fn until_checked_again(primary: &Cluster) {
    let asked = || primary.log().matches("pg_current_wal_insert_lsn").count();
    let before = asked();
    until_so("the replicas are checked", async || asked() > before).await;
}
