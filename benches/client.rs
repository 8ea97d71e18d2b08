//! What a check costs a service that asks through the Rust library: held, against asking the
//! server; on one core and on two; of a module, a feature and a limit; what a held tenant takes up,
//! and that nothing is allocated on the way to a grant, or to a feature that is on. And what it costs to
//! take of a slice that is held, and to add to a counter.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;

use std::{
    alloc::System,
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use common::{MODULES, Process, process, quartiles};
use entitlement_client::{Config, Credentials, Entitlements, Lease, OnOutage, Reserve};
use entitlementd::proto::v1::CheckModuleRequest;
use futures_util::{StreamExt, stream};
use sqlx::{Connection, SqliteConnection};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TENANTS: u32 = 100_000;
const HOT: usize = 100;
const CHECKS: usize = 1_000_000;
const CALLS: usize = 2_000;
/// No more than are held by default.
const RESOLVED: usize = 5_000;
const ROUNDS: usize = 9;
const METER: &str = "transactions_monthly";
/// What is asked for so soon after a stream has opened is held for its `max_age` only.
const SETTLING: Duration = Duration::from_secs(4);
/// What each module has: on, on with a value, and off.
const FEATURES: [&str; 3] = ["on", "valued", "off"];

type Question = (Uuid, &'static str);

fn main() {
    // A thread of its own hears of changes, as in a service.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!("machine: {}", common::machine());
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) =
        runtime.block_on(serve(&format!("sqlite:{}/erp.db?mode=rwc", folder.path().display())));
    let ids: Vec<Uuid> = (0..TENANTS).map(|number| common::id(number).parse().unwrap()).collect();
    let (client, bytes) = runtime.block_on(fill(&address, &ids));
    println!("bytes a held tenant with ten modules, of {TENANTS}: {bytes:.0}");

    let (hot, random) = (questions(&ids[..HOT]), questions(&ids));
    println!("\nnanoseconds, {ROUNDS} rounds of {CHECKS}: median (quartiles)\n");
    println!("{:<32}{:>24}{:>24}", "", format!("{HOT} hot"), format!("{TENANTS} at random"));
    let row = |name: &str, cost: &dyn Fn(&[Question]) -> f64| {
        let [hot, random] = [&hot, &random].map(|questions| {
            let [low, median, high] =
                quartiles(&(0..ROUNDS).map(|_| cost(questions)).collect::<Vec<_>>());
            format!("{median:.0} ({low:.0} to {high:.0})")
        });
        println!("{name:<32}{hot:>24}{random:>24}");
    };
    row("check, held", &|questions| {
        timed(questions.len(), || {
            runtime.block_on(async {
                for (tenant, module) in questions {
                    assert!(client.check(*tenant, module).await.unwrap().allowed());
                }
            })
        })
    });
    row("check_held", &|questions| timed(questions.len(), || all_held(&client, questions)));
    row("check_held, two threads", &|questions| {
        timed(questions.len() * 2, || {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| all_held(&client, questions));
                }
            });
        })
    });
    for key in FEATURES {
        row(&format!("feature, held: {key}"), &|questions| {
            timed(questions.len(), || {
                runtime.block_on(async {
                    for (tenant, module) in questions {
                        let answer = client.feature(*tenant, module, key).await.unwrap();
                        assert_eq!(answer.enabled(), key != "off");
                    }
                })
            })
        });
        row(&format!("feature_held: {key}"), &|questions| {
            timed(questions.len(), || features_held(&client, questions, key))
        });
    }
    row("feature_held, two threads", &|questions| {
        timed(questions.len() * 2, || {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| features_held(&client, questions, "on"));
                }
            });
        })
    });
    row("within_limit, held", &|questions| {
        timed(questions.len(), || {
            runtime.block_on(async {
                for (tenant, _) in questions {
                    assert!(client.within_limit(*tenant, "users", 4, 1).await.unwrap().allowed());
                }
            })
        })
    });
    row("resolve, held", &|questions| {
        timed(RESOLVED, || {
            runtime.block_on(async {
                for (tenant, _) in &questions[..RESOLVED] {
                    let tenant = tenant.to_string();
                    black_box(client.resolve(carried(&tenant)).await.unwrap());
                }
            })
        })
    });
    row("writing an id", &|questions| {
        timed(RESOLVED, || {
            for (tenant, _) in &questions[..RESOLVED] {
                black_box(tenant.to_string());
            }
        })
    });
    row("reading the clock", &|questions| {
        timed(questions.len(), || {
            for _ in questions {
                black_box(entitlementd::clock::Clock::System.now());
            }
        })
    });

    let region = Region::new(ALLOCATOR);
    all_held(&client, &random[..100_000]);
    println!("\nallocations of 100 000 grants: {}", region.change().allocations);
    let region = Region::new(ALLOCATOR);
    for key in FEATURES {
        features_held(&client, &random[..100_000], key);
    }
    println!("allocations of 300 000 features: {}", region.change().allocations);
    let mut grpc = runtime.block_on(common::connect(&address));
    let remote = timed(CALLS, || {
        runtime.block_on(async {
            for (tenant, module) in &hot[..CALLS] {
                let (tenant_id, module_code) = (tenant.to_string(), (*module).to_owned());
                let request =
                    CheckModuleRequest { tenant_id, module_code, ..CheckModuleRequest::default() };
                assert!(grpc.check_module(request).await.unwrap().into_inner().allowed);
            }
        })
    });
    println!("asking the server instead, one after another: {remote:.0} ns");
    count(&runtime, &client, &ids[..HOT]);
}

/// What it costs to take of a slice that is held, and to add to a counter.
fn count(runtime: &Runtime, client: &Entitlements, hot: &[Uuid]) {
    let never = Duration::from_secs(600);
    let lease = Lease::new(METER).size(1_000_000_000).ttl(never);
    let leased = runtime.block_on(async { client.leased(hot[0], lease) }).unwrap();
    let counters = runtime.block_on(async { client.counters(never) }).unwrap();
    runtime.block_on(leased.take(1)).unwrap();
    println!("\nnanoseconds, {ROUNDS} rounds of {CHECKS}: median (quartiles)\n");
    let row = |name: &str, threads: usize, cost: &(dyn Fn() + Sync)| {
        let round = || {
            timed(CHECKS * threads, || {
                thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(cost)));
            })
        };
        let [low, median, high] = quartiles(&(0..ROUNDS).map(|_| round()).collect::<Vec<_>>());
        println!("{name:<32}{:>24}", format!("{median:.0} ({low:.0} to {high:.0})"));
    };
    let take_held = || (0..CHECKS).for_each(|_| assert!(leased.take_held(1)));
    let take = || {
        runtime.block_on(async {
            for _ in 0..CHECKS {
                leased.take(1).await.unwrap();
            }
        });
    };
    let one_sum = || (0..CHECKS).for_each(|_| counters.add(hot[0], METER, 1, ""));
    let many_sums = || {
        (0..CHECKS).for_each(|number| counters.add(hot[number % HOT], METER, 1, MODULES[0]));
    };
    row("take_held", 1, &take_held);
    row("take, awaited", 1, &take);
    row("take_held, two threads, one slice", 2, &take_held);
    row("add, one sum", 1, &one_sum);
    row("add, 100 sums", 1, &many_sums);
    row("add, two threads, one sum", 2, &one_sum);
    row("add, two threads, 100 sums", 2, &many_sums);
    let region = Region::new(ALLOCATOR);
    take_held();
    let taken = region.change().allocations;
    let region = Region::new(ALLOCATOR);
    many_sums();
    println!(
        "\nallocations of 1 000 000 takes: {taken}, and adds: {}",
        region.change().allocations
    );
    let remote = timed(CALLS, || {
        runtime.block_on(async {
            for number in 0..CALLS {
                let one = Reserve::new(METER, format!("o-{number}"));
                assert!(client.reserve(hot[1], one).await.unwrap().granted());
            }
        });
    });
    println!("reserving at the server instead, one after another: {remote:.0} ns");
    runtime.block_on(leased.close(Duration::from_secs(5))).unwrap();
    runtime.block_on(counters.close(Duration::from_secs(5))).unwrap();
    assert_eq!((counters.dropped(), counters.refused()), (0, 0));
}

async fn serve(url: &str) -> (Process, String) {
    process::migrate(url);
    common::fill(url, TENANTS).await;
    define(url).await;
    let mut command = process::program();
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        url,
        "--log-format",
        "json",
    ]);
    let mut process = Process::start(command);
    let line = process.wait_for("\"address\"");
    let (_, rest) = line.split_once("\"address\":\"").unwrap();
    let address = rest.split('"').next().unwrap().to_owned();
    process.wait_for("\"ready\"");
    (process, address)
}

/// Gives each module its [`FEATURES`].
async fn define(url: &str) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let sql = "INSERT INTO entitlement_features (module_id, key, value_type, default_enabled, default_value)
               SELECT id, key, 'json', key <> 'off', CASE key WHEN 'valued' THEN '7' END
               FROM modules CROSS JOIN (SELECT 'on' AS key UNION SELECT 'valued' UNION SELECT 'off')";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// A client that holds every tenant, and the bytes that each takes up.
async fn fill(address: &str, ids: &[Uuid]) -> (Entitlements, f64) {
    let client = Entitlements::connect(Config::new(address, OnOutage::Deny)).unwrap();
    client.watching().await;
    tokio::time::sleep(SETTLING).await;
    let region = Region::new(ALLOCATOR);
    let ask = |tenant: &Uuid| {
        let (client, tenant) = (client.clone(), *tenant);
        async move { assert!(client.check(tenant, MODULES[0]).await.unwrap().allowed()) }
    };
    stream::iter(ids.iter().map(ask)).buffer_unordered(64).collect::<Vec<_>>().await;
    let taken = common::bytes_held(region.change());
    assert_eq!(client.held_tenants(), ids.len());
    (client, taken / ids.len() as f64)
}

/// What a request carries.
fn carried(tenant: &str) -> Credentials<'_> {
    Credentials { tenant_id: tenant, host: "erp.example:8000", ..Credentials::default() }
}

/// In random order, made before the clock runs.
fn questions(ids: &[Uuid]) -> Vec<Question> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..CHECKS).map(|_| (*random.choice(ids).unwrap(), *random.choice(&MODULES).unwrap())).collect()
}

fn all_held(client: &Entitlements, questions: &[Question]) {
    for (tenant, module) in questions {
        assert!(client.check_held(*tenant, module).is_some_and(|answer| answer.allowed()));
    }
}

fn features_held(client: &Entitlements, questions: &[Question], key: &str) {
    for (tenant, module) in questions {
        let answer = client.feature_held(*tenant, module, key).unwrap();
        assert_eq!(answer.enabled(), key != "off");
    }
}

/// Nanoseconds each.
fn timed(count: usize, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as f64 / count as f64
}
