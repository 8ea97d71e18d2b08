//! What an operator waits for: from EnableModules to the flipped answer of another instance, and
//! schemas for many tenants, one after the other against eight at a time.
//!
//! BENCH_CHANGES, BENCH_TENANTS and BENCH_ROUNDS change how much is run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../tests/it/harness/proxy.rs"]
mod proxy;

use std::{
    env, fs,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{postgres, process};
use entitlementd::proto::v1::{
    CheckModuleRequest, DisableModulesRequest, EnableModulesRequest,
    tenant_admin_service_client::TenantAdminServiceClient,
};
use proxy::Proxy;
use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;
use tonic::{Request, transport::Channel};

const TENANTS: u32 = 1_000;
const MODULE: &str = "hrms";
const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tenant-template");
/// How much longer an answer of the database takes, at least: on this machine, and on another. What
/// is added is waiting, where all else is the work of two cores.
const DISTANCES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(1)];
/// Between two questions to the instance: it shares the cores with what is measured.
const PAUSE: Duration = Duration::from_micros(200);

fn main() {
    let setting = |name: &str, default| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let cluster = postgres::Cluster::start(&["log_statement=none"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("machine: {}; everything on these", common::machine());
    flips(&cluster, &runtime, setting("BENCH_CHANGES", 400));
    let (tenants, rounds) = (setting("BENCH_TENANTS", 500), setting("BENCH_ROUNDS", 3));
    for distance in DISTANCES {
        schemas(&cluster, &runtime, distance, tenants, rounds);
    }
}

/// A port on which the database answers so much later. It ends with the process.
fn distant(port: u16, distance: Duration) -> u16 {
    let (told, answers) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let proxy = Proxy::slow_to(port, distance).await;
            told.send(proxy.port()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    answers.recv().unwrap()
}

/// Milliseconds from the call until another instance, which is asked all the time, says the new
/// state.
fn flips(cluster: &postgres::Cluster, runtime: &Runtime, changes: u32) {
    let url = cluster.url(&runtime.block_on(cluster.migrated_database()));
    runtime.block_on(common::fill_postgres(&url, TENANTS));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let file = file.to_str().unwrap();
    let made =
        process::run(&["token", "new", "bench", "--role", "operator", "--admin-tokens-file", file]);
    let token = format!("Bearer {}", String::from_utf8(made.stdout).unwrap().trim_end());
    let fixed = ["--listen", "127.0.0.1:0", "--database-url", &url];
    let admin = ["--admin-listen", "127.0.0.1:0", "--admin-tokens-file", file];
    let mut writer = process::Process::serve(&[&fixed[..], &admin].concat());
    let line = writer.wait_for("administrators are answered on ");
    let address: serde_json::Value = serde_json::from_str(&line).unwrap();
    let uri = format!("http://{}", address["address"].as_str().unwrap());
    writer.wait_for("\"ready\"");
    let mut other = process::Process::serve(&fixed);
    let mut asker = runtime.block_on(common::connect(&other.address()));
    other.wait_for("\"ready\"");

    let channel = runtime.block_on(Channel::from_shared(uri).unwrap().connect()).unwrap();
    let mut client = TenantAdminServiceClient::new(channel);
    let by = |token: &str| token.parse().unwrap();
    let (mut from_call, mut from_answer) = (Vec::new(), Vec::new());
    for number in 0..changes {
        let tenant = common::id(number % TENANTS);
        let enable = number / TENANTS % 2 == 1;
        let question = CheckModuleRequest {
            tenant_id: tenant.clone(),
            module_code: MODULE.into(),
            ..Default::default()
        };
        runtime.block_on(asker.check_module(question.clone())).unwrap();
        let began = Instant::now();
        runtime.block_on(async {
            let module_codes = vec![MODULE.to_owned()];
            if enable {
                let mut request = Request::new(EnableModulesRequest {
                    tenant,
                    module_codes,
                    ..Default::default()
                });
                request.metadata_mut().insert("authorization", by(&token));
                client.enable_modules(request).await.unwrap();
            } else {
                let mut request = Request::new(DisableModulesRequest {
                    tenant,
                    module_codes,
                    ..Default::default()
                });
                request.metadata_mut().insert("authorization", by(&token));
                client.disable_modules(request).await.unwrap();
            }
        });
        let answered = Instant::now();
        while runtime.block_on(asker.check_module(question.clone())).unwrap().into_inner().allowed
            != enable
        {
            thread::sleep(PAUSE);
        }
        from_call.push(began.elapsed().as_secs_f64() * 1000.0);
        from_answer.push(answered.elapsed().as_secs_f64() * 1000.0);
    }
    println!(
        "\n{changes} modules disabled or enabled, milliseconds until another instance says so"
    );
    println!("{:<18}{:>10}{:>10}{:>10}", "", "p50", "p99", "max");
    for (name, mut values) in [("from the call", from_call), ("from its answer", from_answer)] {
        values.sort_by(f64::total_cmp);
        let percentile = |percent: usize| values[(values.len() - 1) * percent / 100];
        println!(
            "{name:<18}{:>10.1}{:>10.1}{:>10.1}",
            percentile(50),
            percentile(99),
            percentile(100)
        );
    }
}

/// Seconds for `tenant provision --all`, on a fresh database each time, whose answers take
/// `distance` longer.
fn schemas(
    cluster: &postgres::Cluster,
    runtime: &Runtime,
    distance: Duration,
    tenants: u32,
    rounds: u32,
) {
    assert!(fs::exists(TEMPLATE).unwrap());
    println!(
        "\nschemas of {tenants} tenants with the example template, a database {distance:?} away; seconds"
    );
    println!("{:<8}{:>16}{:>18}{:>8}", "round", "1 at a time", "8 at a time", "ratio");
    for round in 1..=rounds {
        let [one, eight] = ["1", "8"].map(|concurrency| {
            let url = cluster.url(&runtime.block_on(cluster.migrated_database()));
            runtime.block_on(waiting(&url, tenants));
            let port =
                if distance.is_zero() { cluster.port() } else { distant(cluster.port(), distance) };
            let url = url.replace(&format!(":{}/", cluster.port()), &format!(":{port}/"));
            let began = Instant::now();
            let flags = [
                "--all",
                "--tenant-template",
                TEMPLATE,
                "--concurrency",
                concurrency,
                "--database-url",
                &url,
            ];
            let output = process::run(&[&["tenant", "provision"], &flags[..]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            began.elapsed().as_secs_f64()
        });
        println!("{round:<8}{one:>16.2}{eight:>18.2}{:>8.2}", one / eight);
    }
}

/// Tenants that wait for their schemas, with two modules that have files.
async fn waiting(url: &str, tenants: u32) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = format!(
        "INSERT INTO tenants (name, subdomain, database_schema, status)
         SELECT 'Tenant ' || i, 'tenant-' || i, 'tenant_tenant-' || i, 'pending_setup' FROM generate_series(1, {tenants}) i;
         INSERT INTO tenant_subscriptions (tenant_id, module_id, starts_at)
         SELECT t.id, m.id, now() FROM tenants t JOIN modules m ON m.code IN ('finance', 'hrms'); ANALYZE"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}
