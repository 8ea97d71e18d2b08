//! What it costs others that many watch many tenants, while some of them change.

use std::{
    thread,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use entitlementd::clock::Clock;

use crate::{
    common::quartiles,
    flat,
    load::drive_into,
    recorder::{Recorder, Second},
    server::Server,
    watchers::{Plan, Report, WATCHERS, Watchers},
    world::{World, on_its_own},
};

pub const NAME: &str = "watched";
/// Tenants of each who watches.
const EACH: usize = 1_000;
const CHANGES: u32 = 100;
const ROUNDS: u32 = 3;
/// Of a round, with and as many without.
const COUNTED: Duration = Duration::from_secs(10);
/// At most, until all watch.
const OPENED: Duration = Duration::from_secs(15);

pub fn run(world: &World) {
    println!(
        "\n{NAME}: {WATCHERS} watchers of {EACH} tenants each, {CHANGES} changes/s; {ROUNDS} rounds"
    );
    // They are one caller, who may name half of 50 for each.
    let most = (2 * WATCHERS * EACH / 50).to_string();
    let server = Server::start(world, &["--max-watchers", &most]);
    server.hold(world);
    let recorder = Recorder::default();
    let until = Instant::now() + (2 * COUNTED + OPENED) * (ROUNDS + 1);
    let mut rounds = Vec::new();
    thread::scope(|scope| {
        let (sink, target) = (&recorder, server.target(&world.bodies, world.settings.load));
        scope.spawn(move || on_its_own(drive_into(sink, target, until)));
        scope
            .spawn(|| on_its_own(flat::change(&world.url, world.settings.tenants, CHANGES, until)));
        thread::sleep(COUNTED / 10);
        for _ in 0..ROUNDS {
            let without = count(&server, &recorder);
            let (watchers, opened_in) = watch(world, &server);
            let with = count(&server, &recorder);
            print(&without, &with, opened_in, &watchers.reports());
            rounds.push(with.p99 / without.p99);
        }
        let [low, median, high] = quartiles(&rounds);
        println!(
            "p99 of checks with those who watch: {median:.2} ({low:.2} to {high:.2}) of that without; aim 1.2"
        );
        println!("RSS {:.0} MiB", server.rss_mib());
    });
    server.print_warnings();
}

/// What became of checks for a while.
struct Counted {
    p50: f64,
    p99: f64,
    per_second: f64,
    cores: f64,
    failed: u64,
}

fn count(server: &Server, recorder: &Recorder) -> Counted {
    let (began, cpu) = (Instant::now(), server.process.cpu_nanos());
    recorder.take();
    thread::sleep(COUNTED);
    let Second { latencies, failed } = recorder.take();
    let seconds = began.elapsed().as_secs_f64();
    Counted {
        p50: Second::millis(&latencies, 0.5),
        p99: Second::millis(&latencies, 0.99),
        per_second: latencies.len() as f64 / seconds,
        cores: (server.process.cpu_nanos() - cpu) as f64 / 1e9 / seconds,
        failed,
    }
}

/// Has all of them watch until what is counted is over. Gives how long it took until they did.
fn watch(world: &World, server: &Server) -> (Watchers, Duration) {
    let began = Instant::now();
    let length = TimeDelta::from_std(OPENED + COUNTED).unwrap();
    let plan = Plan::until(Clock::System.now() + length, EACH, world.settings.tenants as usize);
    let watchers = Watchers::start(server.port, plan);
    assert!(began.elapsed() < OPENED, "they would end too early");
    (watchers, began.elapsed())
}

fn print(without: &Counted, with: &Counted, opened_in: Duration, reports: &[Report]) {
    for (name, Counted { p50, p99, per_second, cores, failed }) in
        [("without", without), ("with", with)]
    {
        println!(
            "{name:>8}: {per_second:.0} answers/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {failed} failed, {cores:.2} cores"
        );
    }
    let [changes, resets] = [|report: &Report| report.changes, |report: &Report| report.resets]
        .map(|of| reports.iter().map(of).sum::<usize>());
    println!(
        "          opened in {:.1} s; they were told {changes} changes, {resets} resets",
        opened_in.as_secs_f64()
    );
}
