//! Services in trouble: three instances are killed, frozen and cut off at random, under a FastAPI
//! app with four workers and an axum app, while rights come and go. No request of a tenant that is
//! held may fail, and no right that is gone may be granted, unmarked, for longer than promised.
//!
//! BENCH_SECONDS (600) of chaos, BENCH_SEED (random, and printed). It needs the Python library's
//! environment, which `clients/python/run-tests` makes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../common/mod.rs"]
mod common;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../../tests/it/harness/http.rs"]
mod http;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../../tests/it/harness/proxy.rs"]
mod proxy;

mod apps;
mod instances;
mod rights;
mod users;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use apps::Apps;
use common::postgres::Cluster;
use instances::Instances;
use rights::Rights;
use users::{Seen, Users};

/// Tenants that users belong to. The rights of the first few come and go.
const TENANTS: u32 = 120;
const FLIPPING: u32 = 20;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seconds = number("BENCH_SECONDS").unwrap_or(600);
    let seed = number("BENCH_SEED").unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    println!("machine: {}; BENCH_SEED={seed}", common::machine());

    let cluster = Cluster::start(&[]);
    let name = cluster.migrated_database().await;
    let url = cluster.url(&name);
    common::fill_postgres(&url, TENANTS).await;
    let mut instances = Instances::start(&url).await;
    let apps = Apps::start(&instances.endpoints()).await;
    let rights = Arc::new(Rights::new(&url, FLIPPING).await);
    let seen = Arc::<Seen>::default();
    let users = Users { addresses: apps.addresses(), rights: Arc::clone(&rights), seen };
    users.warm_up().await;

    println!("{seconds} s of chaos");
    let end = Instant::now() + Duration::from_secs(seconds);
    let load = users.ask_until(end);
    let flips = Arc::clone(&rights).flip_until(end);
    tokio::join!(load, flips, instances.trouble_until(end));
    instances.mend().await;
    println!("{}", instances.done());
    let failed = users.seen.report();
    users.until_all_is_well().await;
    println!("afterwards everything is fresh again");
    assert!(!failed, "see above");
}
