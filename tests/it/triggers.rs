//! Triggers of the log that somebody has switched off, or off and on again: what was written meanwhile left no trace.

use entitlementd::proto::v1::{DecisionReason, watch_changes_response::Event};
use futures_util::StreamExt;

use crate::harness::{Database, Row, Server, process, until_so};

const OFF: &str = "DISABLE TRIGGER ALL";
/// As `pg_restore --disable-triggers` ends: our triggers are ordinary ones from then on.
const ON: &str = "ENABLE TRIGGER ALL";

async fn with_triggers_off(database: &Database, write: &str) {
    let tables = ["tenants", "tenant_subscriptions", "modules", "plans"];
    let all = |word: &str| tables.map(|table| format!("ALTER TABLE {table} {word};")).concat();
    database.execute(&format!("{} {write}; {}", all(OFF), all(ON))).await;
}

async fn denied_soon(server: &mut Server) {
    let mut client = server.client.clone();
    until_so("what was written without a trace is seen", async || {
        let request = crate::harness::server::check_request(1, "finance");
        !client.check_module(request).await.unwrap().into_inner().allowed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_while_they_were_off_is_read_however_short_that_was() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    // The second time they are ordinary before and after.
    let mut server = Server::start_with(database, &["--metrics-listen", "127.0.0.1:0"]).await;
    for status in ["suspended", "cancelled"] {
        server.database.set_status(1, "active").await;
        let mut client = server.client.clone();
        until_so("the tenant is held as active", async || {
            let request = crate::harness::server::check_request(1, "finance");
            client.check_module(request).await.unwrap().into_inner().allowed
        })
        .await;
        let mut watching = crate::watch::watch(&server.client, &[]).await;
        let write = format!("UPDATE tenants SET status = '{status}'");
        with_triggers_off(&server.database, &write).await;
        denied_soon(&mut server).await;
        loop {
            let event = watching.next().await.unwrap().unwrap().event.unwrap();
            if matches!(event, Event::Reset(_)) {
                break;
            }
        }
    }
    // They fire for ordinary writers, and so changes are received.
    server.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_judges_as_one_that_runs() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    with_triggers_off(&database, "SELECT 1").await;
    let url = database.url.clone();
    let status = || {
        let output = process::run(&["migrate", "--status", "--database-url", &url]);
        String::from_utf8(output.stdout).unwrap()
    };
    let weak = "the trigger entitlement_tenants_changed of the table tenants does not fire where session_replication_role is replica";
    assert!(status().contains(weak), "{}", status());
    let mut server = process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    server.wait_for(weak);
    server.wait_for("\"ready\"");
    with_triggers_off(&database, "SELECT 1").await;
    server.wait_for("a trigger of the change log was switched off or on");
    drop(server);

    // One that may not arm them serves all the same, if it was told to migrate.
    database
        .execute("CREATE ROLE looks LOGIN; GRANT entitlementd_server TO looks; GRANT SELECT ON tenants, tenant_subscriptions, modules, plans, feature_flags TO looks")
        .await;
    let theirs = url.replace("postgres://postgres@", "postgres://looks@");
    let flags = ["--listen", "127.0.0.1:0", "--migrate", "--database-url", &theirs];
    let mut server = process::Process::serve(&flags);
    server.wait_for("the migration failed");
    server.wait_for("\"ready\"");
    drop(server);
    database.execute("DROP OWNED BY looks; DROP ROLE looks").await;

    // Without one it is degraded, and no outage.
    database.execute(&format!("ALTER TABLE tenants {OFF}")).await;
    let mut server = Server::start_with(database, &["--metrics-listen", "127.0.0.1:0"]).await;
    server.until_readyz(200, "degraded: triggers of the change log are missing").await;
    assert!(server.check(1, "finance").await.allowed);
    process::migrate(&url);
    server.until_readyz(200, "ready").await;
    assert!(!status().contains("trigger"), "{}", status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_writes_for_which_no_trigger_fires_is_read() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    // Otherwise it would be found in the course of time.
    let mut server = Server::start_with(database, &["--revalidate-max-rate", "0"]).await;
    let database = server.database.again().await;
    let changes = [
        (
            "ALTER TABLE tenants ALTER COLUMN status TYPE varchar(90) USING 'suspended'",
            DecisionReason::TenantSuspended,
        ),
        (
            "ALTER TABLE tenants ALTER COLUMN status TYPE varchar(80) USING 'active'",
            DecisionReason::Enabled,
        ),
        (
            "CREATE TABLE old (LIKE tenant_subscriptions INCLUDING ALL);
             WITH gone AS (DELETE FROM tenant_subscriptions RETURNING *) INSERT INTO old SELECT * FROM gone",
            DecisionReason::NotSubscribed,
        ),
        ("ALTER TABLE old INHERIT tenant_subscriptions", DecisionReason::Enabled),
        ("ALTER TABLE old NO INHERIT tenant_subscriptions", DecisionReason::NotSubscribed),
    ];
    for (command, reason) in changes {
        database.execute(command).await;
        server.until(1, "finance", reason).await;
    }
}
