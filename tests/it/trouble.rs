//! What a server says of itself while something is wrong: `/readyz`, metrics and log.

use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::{Code, Status};

use crate::{
    harness::{
        Database, Row, Server,
        database::lock_tenants,
        process::{Process, connect},
        server::check_request,
    },
    metrics::SHOWN,
    rights::mk_role,
};

/// Longer than any trouble takes to be noticed, or to be over.
const PATIENCE: Duration = Duration::from_secs(30);

/// A role that may serve, and the URL to do so.
async fn mk_server_role(database: &Database) -> (String, String) {
    let (role, url) = mk_role(database, "serving").await;
    database
        .execute(&format!(
            "GRANT entitlementd_server TO {role};
             GRANT SELECT ON tenants, modules, plans, tenant_subscriptions, feature_flags TO {role}"
        ))
        .await;
    (role, url)
}

impl Server {
    async fn fails_to_load(&mut self, tenant: u32) -> Status {
        self.check_request(check_request(tenant, "finance")).await.unwrap_err()
    }

    /// Asks for tenants that are not held until `/readyz` says this.
    async fn until_loads_are_said_to_fail(&mut self, status: u16, words: &str, cause: &str) {
        let started = Instant::now();
        loop {
            let refused = self.fails_to_load(99).await;
            assert!(
                !refused.message().contains("tenants"),
                "what the database says is for the log"
            );
            let reply = self.readyz().await;
            if reply.status == status && reply.body.contains(words) {
                assert!(reply.body.ends_with(&format!("\ncause: {cause}")), "{reply:?}");
                let metrics = self.metrics().await;
                assert_eq!(metrics.of(&format!(r#"condition_cause{{cause="{cause}"}}"#)), 1.0);
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{words:?}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_that_fail_are_said_with_what_to_do_while_what_is_held_is_answered() {
    let database = Database::postgres().await;
    let (role, url) = mk_server_role(&database).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Server::start_with(database.by_way_of(url).await, &SHOWN).await;
    server.until_readyz(200, "ready").await;
    assert!(server.check(1, "finance").await.allowed);
    let grant = format!("run: GRANT SELECT ON tenant_subscriptions TO {role}");
    let (revoke, renamed) = (
        format!("REVOKE SELECT ON tenant_subscriptions FROM {role}"),
        "ALTER TABLE tenant_subscriptions RENAME COLUMN expires_at TO ends_at",
    );
    for (wrong, words, cause, right) in [
        (
            revoke.as_str(),
            grant.as_str(),
            "rights",
            format!("GRANT SELECT ON tenant_subscriptions TO {role}"),
        ),
        (
            renamed,
            "the table tenant_subscriptions has no column expires_at",
            "schema",
            "ALTER TABLE tenant_subscriptions RENAME COLUMN ends_at TO expires_at".to_owned(),
        ),
    ] {
        database.execute(wrong).await;
        server.until_loads_are_said_to_fail(200, words, cause).await;
        let held = server.check(1, "finance").await;
        assert!(held.allowed && !held.freshness.unwrap().stale, "{held:?}");
        database.execute(&right).await;
        server.until_readyz(200, "ready").await;
        assert_eq!(
            server.metrics().await.of(&format!(r#"condition_cause{{cause="{cause}"}}"#)),
            0.0
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_is_said_and_its_release_too_though_nobody_asks() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Server::start_with(database, &SHOWN).await;
    assert!(server.check(1, "finance").await.allowed);
    let lock = lock_tenants(&server.database).await;
    server.until_loads_are_said_to_fail(200, "does not answer in time", "slow").await;
    assert!(server.check(1, "finance").await.allowed);
    lock.rollback().await.unwrap();
    server.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_holds_nothing_and_can_load_nothing_is_unready() {
    let database = Database::postgres().await;
    let mut server = Server::start_with(database, &SHOWN).await;
    let lock = lock_tenants(&server.database).await;
    server.until_loads_are_said_to_fail(503, "unready: all loads have failed since", "slow").await;
    lock.rollback().await.unwrap();
    server.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_polling_takes_is_missed_in_the_log_at_once_and_so_is_its_return() {
    let database = Database::postgres().await;
    let (role, url) = mk_server_role(&database).await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    server.wait_for("\"ready\"");
    let function = "FUNCTION pg_current_snapshot()";
    database.execute(&format!("REVOKE EXECUTE ON {function} FROM PUBLIC")).await;
    let said: Value =
        serde_json::from_str(&server.wait_for("serving, but degraded: changes cannot be read"))
            .unwrap();
    assert_eq!(said["cause"], "rights", "{said}");
    assert!(server.logged.contains("permission denied for function"), "{}", server.logged);
    database.execute(&format!("GRANT EXECUTE ON {function} TO {role}")).await;
    let said: Value = serde_json::from_str(&server.wait_for("ready again, after")).unwrap();
    assert!(
        said["seconds"].is_u64() && said["stale"].is_u64() && said["failed"].is_u64(),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_failures_is_summed_up_with_an_example() {
    const CALLERS: usize = 16;
    let database = Database::postgres().await;
    let (role, url) = mk_server_role(&database).await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    let address = server.address();
    server.wait_for("\"ready\"");
    database.execute(&format!("REVOKE SELECT ON tenants FROM {role}")).await;
    let began = Instant::now();
    let ask = |caller: u32| {
        let address = address.clone();
        async move {
            let mut client = connect(&address).await;
            for number in 0..100 {
                let refused = client
                    .check_module(check_request(1_000 * (caller + 1) + number, "finance"))
                    .await
                    .unwrap_err();
                assert_eq!(refused.code(), Code::Unavailable);
                assert!(!refused.message().contains("permission denied"), "{refused:?}");
            }
        }
    };
    let asking: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(ask(caller as u32))).collect();
    for one in asking {
        one.await.unwrap();
    }
    // What is left over is told within a second.
    let told = |logged: &str| {
        let lines = logged.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_requests = lines.filter(|line| line["others"].is_u64() && line["kinds"].is_string());
        of_requests.collect::<Vec<_>>()
    };
    let count = |lines: &[Value]| {
        let each = lines.iter().map(|line| {
            line["others"].as_u64().unwrap() + u64::from(line["request_id"].is_string())
        });
        each.sum::<u64>()
    };
    while count(&told(&server.logged)) < 100 * CALLERS as u64 {
        server.wait_for("request");
    }
    let (lines, seconds) = (told(&server.logged), began.elapsed().as_secs() as usize);
    assert_eq!(count(&lines), 100 * CALLERS as u64, "{lines:#?}");
    assert!(lines.len() <= seconds + 2, "{} lines in {seconds} s", lines.len());
    let all = server.logged.lines().count();
    assert!(all <= 20 + 4 * (seconds + 1), "{all} lines in {seconds} s: {}", server.logged);
    assert!(
        server.logged.contains("permission denied for table tenants"),
        "the database's own words"
    );
}
