//! The program is killed at every point of onboarding at which it speaks to the database. Doing it
//! again finishes it.

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::harness::{Database, postgres, process};

/// A way to the database on which the program is killed instead of an answer being passed on.
struct Trap {
    port: u16,
    /// Answers that are passed on before that.
    left: Arc<AtomicU32>,
    /// The program, once it is there.
    victim: watch::Sender<Option<u32>>,
}

impl Trap {
    async fn set() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (left, victim) = (Arc::new(AtomicU32::new(0)), watch::Sender::new(None));
        let (counter, named) = (Arc::clone(&left), victim.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, Arc::clone(&counter), named.clone()));
            }
        });
        Self { port, left, victim }
    }

    /// Runs the program, which is killed when the answer after so many is there: the database has
    /// done what it was told.
    async fn run(&self, arguments: &[String], answers: u32) -> ExitStatus {
        self.left.store(answers, Ordering::SeqCst);
        self.victim.send_replace(None);
        let mut program = process::program();
        program.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        self.victim.send_replace(Some(child.id()));
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
    }
}

async fn pass_on(
    client: TcpStream,
    left: Arc<AtomicU32>,
    mut victim: watch::Receiver<Option<u32>>,
) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, postgres::shared().port())).await
    else {
        return;
    };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 64 * 1024];
    // The program waits for each answer. It waits for nothing after the last, so a trap for what it
    // sends might be too late.
    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
        if left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_err()
        {
            let id = victim.wait_for(Option::is_some).await.unwrap().unwrap();
            // Another of its connections may have been quicker.
            _ = std::process::Command::new("kill")
                .args(["-9", &id.to_string()])
                .stderr(Stdio::null())
                .status()
                .unwrap();
            break;
        }
        if to_client.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    there.abort();
}

fn template() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("_base/001.sql", "CREATE TABLE one (id int); INSERT INTO one VALUES (1)"),
        ("oms_fulfillment/001.sql", "CREATE TABLE two (id int)"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, sql).unwrap();
    }
    folder
}

async fn text(database: &Database, sql: &str) -> String {
    database.one(sql).await.try_get::<Option<String>>("", "text").unwrap().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onboarding_that_is_killed_at_any_point_is_finished_by_doing_it_again() {
    let database = Database::postgres().await;
    let trap = Trap::set().await;
    let folder = template();
    let through = database
        .url
        .replace(&format!(":{}/", postgres::shared().port()), &format!(":{}/", trap.port));
    assert_ne!(through, database.url);
    let mut seen = BTreeSet::new();
    let mut answers = 0;
    for round in 0.. {
        assert!(round < 400, "it ends, or is killed: {seen:?}");
        let subdomain = format!("acme-{round}");
        let onboard = |url: &str| -> Vec<String> {
            let words = [
                "tenant",
                "onboard",
                &subdomain,
                "--name",
                "Acme",
                "--plan",
                "starter",
                "--database-url",
                url,
            ];
            let more =
                ["--request-id", &subdomain, "--tenant-template", folder.path().to_str().unwrap()];
            words.iter().chain(&more).map(ToString::to_string).collect()
        };
        let ended = trap.run(&onboard(&through), answers).await;
        if !ended.success() {
            let status = format!(
                "SELECT (SELECT status FROM tenants WHERE subdomain = '{subdomain}') AS text"
            );
            seen.insert(text(&database, &status).await);
            let again = onboard(&database.url);
            let again = process::run(&again.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(
                again.status.success(),
                "{answers}: {}",
                String::from_utf8_lossy(&again.stderr)
            );
        }
        let state = format!(
            "SELECT t.status || (SELECT count(*) FROM tenant_subscriptions s WHERE s.tenant_id = t.id)
                || (SELECT string_agg(action, ',' ORDER BY id) FROM entitlement_audit a WHERE a.tenant_id = t.id)
                || (SELECT count(*) FROM \"tenant_{subdomain}\".one)
                || (SELECT count(*) FROM \"tenant_{subdomain}\".entitlement_template_files) AS text
             FROM tenants t WHERE subdomain = '{subdomain}'"
        );
        assert_eq!(
            text(&database, &state).await,
            "active3OnboardTenant,ProvisionTenant12",
            "{answers}"
        );
        // A busy machine cuts the same answers into more pieces than an idle one: a run may end
        // sooner than the one before would have. What it leaped over is looked for backwards.
        match ended.success() {
            true if seen.contains("active") => break,
            true => answers -= 1,
            false => answers += 1,
        }
    }
    // It was killed before, between and after the two steps, and there is no state but these.
    assert_eq!(seen, BTreeSet::from(["", "pending_setup", "active"].map(String::from)));
}
