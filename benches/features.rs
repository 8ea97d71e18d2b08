//! CheckFeature, and CheckLimit with what the caller has counted, against CheckModule: of one server,
//! side by side in one run.
//!
//! The server has core 0, and the load the other one. All tenants are held; each has a plan, and half
//! of them a flag of their own and a limit of their own. BENCH_ROUNDS and BENCH_MILLIS (of a round)
//! change what is run.

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
#[path = "common/load.rs"]
mod load;

use std::{env, time::Duration};

use common::{Process, program_on_core, quartiles};
use entitlementd::proto::v1::{CheckFeatureRequest, CheckLimitRequest, CheckModuleRequest};
use load::{body, drive};
use sqlx::{Connection, SqliteConnection};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICE: &str = "/entitlement.v1.EntitlementService";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];
/// The first field of the answer is a message: the decision.
const DECIDED: [u8; 1] = [0x0a];
const TENANTS: u32 = 10_000;
/// Connections, and streams on each.
const LOAD: [usize; 2] = [10, 20];
/// Every module has this feature, and half of the tenants a flag for it.
const KEY: &str = "multi_currency";

/// What is asked, beside CheckModule.
const ASKED: [&str; 2] = ["CheckFeature", "CheckLimit"];

fn main() {
    if env::var("BENCH_ROLE").as_deref() == Ok("load") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measure());
    }
    common::run_as("load", "1");
}

fn module(tenant: u32) -> String {
    common::MODULES[tenant as usize % common::MODULES.len()].to_owned()
}

fn question(method: &str, tenant: u32) -> Vec<u8> {
    let (tenant_id, module_code) = (common::id(tenant), module(tenant));
    match method {
        "CheckFeature" => body(&CheckFeatureRequest {
            tenant_id,
            module_code,
            feature_key: KEY.into(),
            ..Default::default()
        }),
        "CheckLimit" => body(&CheckLimitRequest {
            tenant_id,
            limit_key: "users".into(),
            observed: Some(3),
            amount: 1,
            ..Default::default()
        }),
        _ => body(&CheckModuleRequest { tenant_id, module_code, ..Default::default() }),
    }
}

async fn define(url: &str) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let sql = format!(
        "INSERT INTO entitlement_features (module_id, key, default_enabled) SELECT id, '{KEY}', true FROM modules;
         UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'growth');
         INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled)
            SELECT t.id, m.code, '{KEY}', true FROM tenants t, modules m WHERE t.rowid % 2 = 0;
         INSERT INTO entitlement_limit_overrides (tenant_id, key, value)
            SELECT id, 'users', 100 FROM tenants WHERE rowid % 2 = 0;"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

async fn measure() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, millis) = (setting("BENCH_ROUNDS", 15), setting("BENCH_MILLIS", 1000));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    common::process::migrate(&url);
    common::fill(&url, TENANTS).await;
    define(&url).await;
    let mut command = program_on_core("0");
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
    command.args(["--metrics-listen", "127.0.0.1:0", "--enforce-limits", "on"]);
    let mut process = Process::start(command);
    let port = process.port();
    process.wait_for(": ready");

    println!("machine: {}", common::machine());
    println!("{TENANTS} tenants, {rounds} rounds of {millis} ms each");
    let ask = async |method: &str| {
        let bodies: Vec<Vec<u8>> = (0..TENANTS).map(|tenant| question(method, tenant)).collect();
        let answer = if method == "CheckFeature" { &DECIDED[..] } else { &ALLOWED };
        let (path, duration) = (format!("{SERVICE}/{method}"), Duration::from_millis(millis));
        let before = process.cpu_nanos();
        let outcome = drive(port, &path, &bodies, answer, LOAD, duration).await;
        let cpu = (process.cpu_nanos() - before) as f64 / 1_000.0 / outcome.answers as f64;
        [outcome.per_second(), cpu]
    };
    for method in ["CheckModule", "CheckFeature", "CheckLimit"] {
        ask(method).await;
    }
    for other in ASKED {
        let mut pairs = Vec::new();
        for number in 0..rounds {
            // Who goes first alternates.
            pairs.push(if number % 2 == 0 {
                let module = ask("CheckModule").await;
                [module, ask(other).await]
            } else {
                let asked = ask(other).await;
                [ask("CheckModule").await, asked]
            });
        }
        for (place, what) in ["requests/s", "CPU µs"].into_iter().enumerate() {
            let of = |side: usize| pairs.iter().map(|pair| pair[side][place]).collect::<Vec<_>>();
            let ratios: Vec<f64> =
                pairs.iter().map(|pair| pair[1][place] / pair[0][place]).collect();
            let [low, median, high] = quartiles(&ratios);
            println!(
                "{what}: CheckModule {:.1}, {other} {:.1}, ratio {median:.3} ({low:.3} to {high:.3})",
                quartiles(&of(0))[1],
                quartiles(&of(1))[1],
            );
        }
    }
}
