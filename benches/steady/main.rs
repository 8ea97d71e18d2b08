//! Past the first minutes: a server that holds many tenants, under load through several times of
//! `--cache-ttl`, with changes heard of and without, while tenants change and others are asked for
//! that are not held. Then what a change a second costs, what many who watch cost, and midnight,
//! when rights of 50 000 tenants end at the same instant.
//!
//! The server has the settings that users get, but for the time to live where that is measured, and
//! a place for every tenant that is asked for. What is run and how long is changed by
//! BENCH_ONLY (part of a name: `heard of`, `off, 0/s`, `100/s`, `a change a second`, `watched`,
//! `midnight`), BENCH_TENANTS (held: 100000), BENCH_TTL (20s), BENCH_SECONDS (of load; without it,
//! to the end of the third time to live), BENCH_DELAY_MS (how much later PostgreSQL answers),
//! BENCH_COLD (other tenants asked for each second: 50), BENCH_LOAD (connections x streams: 10x20),
//! BENCH_PAIRS (of five seconds with and without a change a second: 20), BENCH_PIN (0: processes
//! run wherever there is room) and BENCH_SERVER (another build of the program).

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
#[path = "../common/load.rs"]
mod load;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../../tests/it/harness/proxy.rs"]
mod proxy;

mod change;
mod flat;
mod midnight;
mod recorder;
mod sample;
mod server;
mod settings;
mod table;
mod watched;
mod watchers;
mod world;

use std::env;

use flat::{MODES, RATES};
use settings::{LOAD_CORE, SERVER_CORE, Settings};
use world::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let settings = Settings::read();
    match env::var("BENCH_ROLE").as_deref() {
        Ok("watchers") => watchers::run(),
        Ok("bench") => measure(settings),
        _ => {
            introduce(&settings);
            if settings.is_pinned { common::run_as("bench", LOAD_CORE) } else { measure(settings) }
        }
    }
}

/// Says what runs where.
fn introduce(settings: &Settings) {
    println!("machine: {}", common::machine());
    let place = match settings.is_pinned {
        true => format!(
            "the server on core {SERVER_CORE}; load, PostgreSQL and all else on core {LOAD_CORE}"
        ),
        false => "everything wherever there is room".to_owned(),
    };
    let away = if settings.delay.is_zero() {
        String::new()
    } else {
        format!(", {:?} away", settings.delay)
    };
    println!("{place}; PostgreSQL over TCP on loopback{away}");
    let [connections, streams] = settings.load;
    println!(
        "load: {connections} connections x {streams} streams; not held and asked for besides: {}/s",
        settings.cold
    );
}

fn measure(settings: Settings) {
    let mut world = World::make(settings);
    for mode in &MODES {
        for changes in RATES {
            let name = format!("{}, {changes}/s", mode.name);
            if world.settings.is_wanted(&name) {
                flat::run(&mut world, &name, mode, changes);
            }
        }
    }
    if world.settings.is_wanted(change::NAME) {
        change::run(&world);
    }
    if world.settings.is_wanted(watched::NAME) {
        watched::run(&world);
    }
    // The last: rights end with it.
    if world.settings.is_wanted(midnight::NAME) {
        midnight::run(&mut world);
    }
}
