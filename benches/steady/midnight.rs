//! Rights that all end at the same instant, under load, with those watching who have to be told.

use std::{
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use entitlementd::clock::Clock;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    common::MODULES,
    load::drive_into,
    recorder::{Recorder, Second},
    sample::{Span, Watch},
    server::Server,
    watchers::{Plan, Report, WATCHERS, Watchers},
    world::{World, ending, on_its_own},
};

pub const NAME: &str = "midnight";
/// Tenants of each who watches.
const EACH: usize = 50;
/// What is shown, before and after.
const AROUND: Duration = Duration::from_secs(10);
/// The load runs for so long before it is counted.
const WARM: Duration = Duration::from_secs(1);
/// Until then everything is held and watched, whatever the number of tenants; more for each.
const PREPARED: Duration = Duration::from_secs(30);
const PREPARED_EACH: Duration = Duration::from_micros(400);

pub fn run(world: &mut World) {
    let rights = (WATCHERS * EACH) as u32;
    assert!(rights <= world.settings.tenants, "too few tenants for {rights} rights");
    let ready = Clock::System.now() + PREPARED + PREPARED_EACH * world.settings.tenants;
    let midnight = DateTime::from_timestamp(ready.timestamp(), 0).unwrap();
    println!(
        "\n{NAME}: {rights} rights end at the same instant, {WATCHERS} watchers of {EACH} tenants each"
    );
    world.runtime.block_on(end_rights(&world.url, rights, midnight));
    let server = Server::start(world, &[]);
    server.hold(world);
    let watchers =
        Watchers::start(server.port, Plan { each: EACH, tenants: rights as usize, midnight });
    let left = (midnight - Clock::System.now()).to_std().unwrap_or_default();
    let seconds = drive(world, &server, Instant::now() + left);
    print(&seconds, &watchers.reports());
    server.print_warnings();
}

/// Has a right of each of so many tenants end then.
async fn end_rights(url: &str, rights: u32, midnight: DateTime<Utc>) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    // By their ids, which name the tenant and the module.
    let step = MODULES.len();
    let ending: Vec<String> = (0..step).map(|tenant| ending(tenant as u32).to_string()).collect();
    let sql = format!(
        "UPDATE tenant_subscriptions s SET expires_at = to_timestamp({})
         FROM generate_series(0, {rights} - 1) i
         WHERE s.id = ('00000000-0000-4000-9000-'
                       || lpad(to_hex(i * {step} + (ARRAY[{}])[i % {step} + 1]), 12, '0'))::uuid",
        midnight.timestamp(),
        ending.join(", ")
    );
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), u64::from(rights));
}

/// Drives the load around that instant, and shows each second.
fn drive(world: &mut World, server: &Server, midnight: Instant) -> Vec<(i64, Span)> {
    let World { settings, runtime, statements, bodies, .. } = world;
    let (from, to) = (midnight - AROUND, midnight + AROUND);
    assert!(Instant::now() + WARM < from, "too little time to hold and watch them all");
    thread::sleep(from - Instant::now() - WARM);
    let (recorder, nobody) = (Recorder::default(), Recorder::default());
    let mut seconds = Vec::new();
    println!("{:>5}{}", "s", Span::HEAD);
    thread::scope(|scope| {
        let target = server.target(bodies, settings.load);
        let sink = &recorder;
        scope.spawn(move || on_its_own(drive_into(sink, target, to)));
        let mut watch = Watch { runtime, statements, server, load: &recorder, cold: &nobody };
        watch.each_second(from, to, |end, span| {
            // Named by its beginning.
            let second = (end - from).as_secs() as i64 - AROUND.as_secs() as i64 - 1;
            println!("{second:>5}{}", span.line());
            seconds.push((second, span));
        });
    });
    seconds
}

fn print(seconds: &[(i64, Span)], reports: &[Report]) {
    let sum = |wanted: &dyn Fn(i64) -> bool| {
        let mut sum = Span::default();
        seconds.iter().filter(|(second, _)| wanted(*second)).for_each(|(_, span)| sum.add(span));
        sum
    };
    let (before, after) = (sum(&|second| second < 0), sum(&|second| second >= 0));
    let p99 = before.p99_millis();
    println!("p99 of other checks before {p99:.2} ms; ratio to it");
    for (second, span) in seconds.iter().filter(|(second, _)| (-2..5).contains(second)) {
        println!(
            "  in second {second:>2}: {:.2} ({:.2} ms)",
            span.p99_millis() / p99,
            span.p99_millis()
        );
    }
    println!("longest check before {:.1} ms, after {:.1} ms", longest(&before), longest(&after));
    println!(
        "statuses {}, failed loads {}, warnings {}",
        after.load.failed, after.failed_loads, after.warnings
    );
    print_reports(reports);
}

fn longest(span: &Span) -> f64 {
    Second::millis(&span.load.latencies, 1.0)
}

fn print_reports(reports: &[Report]) {
    let mut last: Vec<f64> = reports.iter().filter_map(|report| report.last_millis).collect();
    last.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        last.get((last.len().max(1) - 1) * percent / 100).copied().unwrap_or(f64::NAN)
    };
    let told: usize = reports.iter().map(|report| report.told).sum();
    let all = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    println!(
        "a watcher told its last transition: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        at(50),
        at(99),
        at(100)
    );
    println!(
        "transitions {told} of {}, missed {}, told twice {}, before their time {}; resets {}",
        WATCHERS * EACH,
        WATCHERS * EACH - told,
        all(|report| report.twice),
        all(|report| report.early),
        all(|report| report.resets)
    );
}
