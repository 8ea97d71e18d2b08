//! Is it as fast after a time to live as before?

use std::{
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tokio::time::interval;

use crate::{
    common,
    load::drive_into,
    recorder::{Recorder, Second, ask_cold},
    sample::{Span, Watch},
    server::Server,
    settings::{FIRST, IDLE, Settings, TTLS},
    table,
    world::{World, changing, on_its_own},
};

/// How the server hears of changes.
pub struct Mode {
    pub name: &'static str,
    flags: &'static [&'static str],
}

pub const MODES: [Mode; 2] = [
    Mode { name: "changes heard of", flags: &[] },
    Mode { name: "changes off", flags: &["--changes", "off"] },
];
/// Changes each second.
pub const RATES: [u32; 2] = [0, 100];
/// A part of a time to live that is shorter says nothing.
const SHORTEST: Duration = Duration::from_secs(5);
/// The load runs for so long before it is counted.
const WARM: Duration = Duration::from_millis(500);

pub fn run(world: &mut World, name: &str, mode: &Mode, changes: u32) {
    let ttl = humantime::format_duration(world.settings.ttl).to_string().replace(' ', "");
    println!("\n{name}: --cache-ttl {ttl} {}", mode.flags.join(" "));
    let server = Server::start(world, &[mode.flags, &["--cache-ttl", &ttl]].concat());
    let mut cold = Cold::about(&world.settings, &server);
    let idle = cold.ask_idle();
    let held_from = Instant::now();
    server.hold(world);
    let plan = Plan::after(held_from, &world.settings);
    let spans = drive(world, &server, &plan, changes, cold);
    // Who is held is read once in a time to live, a hundred at a time; who changes or is new, once
    // besides.
    let batches = f64::from(world.settings.tenants) / 100.0 / world.settings.ttl.as_secs_f64();
    let allowed = batches * 1.1 + f64::from(changes + world.settings.cold);
    table::print(&spans, &idle, allowed, plan.is_first_whole);
    table::print_most_frequent(world, spans.iter().map(|span| span.seconds).sum());
    server.print_warnings();
}

/// When the times to live end that are looked at.
struct Plan {
    ends: Vec<Instant>,
    /// In the first, nothing that is held is older than it may be.
    is_first_whole: bool,
}

impl Plan {
    /// What is held first comes of age first: that is where the first time to live ends.
    fn after(held_from: Instant, settings: &Settings) -> Self {
        let began = Instant::now();
        let is_first_whole = held_from + settings.ttl >= began + SHORTEST;
        let first = if is_first_whole { held_from + settings.ttl } else { began + settings.ttl };
        let last = settings
            .load_for
            .map_or(first + settings.ttl * (TTLS - 1), |load_for| began + load_for);
        let mut ends = vec![first.min(last)];
        while let Some(end) = ends.last().map(|end| *end + settings.ttl).filter(|end| *end <= last)
        {
            ends.push(end);
        }
        if last > ends[ends.len() - 1] + SHORTEST {
            ends.push(last);
        }
        Self { ends, is_first_whole }
    }

    fn end(&self) -> Instant {
        self.ends[self.ends.len() - 1]
    }
}

/// Tenants that are not held, and who asks for them.
struct Cold {
    port: u16,
    per_second: u32,
    tenants: Range<u32>,
    sink: Arc<Recorder>,
}

impl Cold {
    fn about(settings: &Settings, server: &Server) -> Self {
        let tenants = settings.tenants..settings.tenants + settings.cold_tenants();
        Self { port: server.port, per_second: settings.cold, tenants, sink: Arc::default() }
    }

    fn ask(&mut self, duration: Duration, per_second: u32) {
        let first = self.tenants.start;
        self.tenants.start = first + (duration.as_secs_f64() * f64::from(per_second)) as u32;
        ask_cold(self.port, first..self.tenants.start, per_second, &self.sink);
    }

    /// While nothing else goes on.
    fn ask_idle(&mut self) -> Second {
        self.ask(Duration::from_secs(1), FIRST);
        self.sink.take();
        if self.per_second > 0 {
            self.ask(IDLE, self.per_second);
        }
        self.sink.take()
    }
}

/// Drives the load, and shows each second. Gives what happened in each time to live.
fn drive(
    world: &mut World,
    server: &Server,
    plan: &Plan,
    changes: u32,
    mut cold: Cold,
) -> Vec<Span> {
    let World { settings, runtime, statements, bodies, url, .. } = world;
    runtime.block_on(statements.reset());
    let (recorder, of_cold, until) = (Recorder::default(), Arc::clone(&cold.sink), plan.end());
    thread::scope(|scope| {
        let target = server.target(bodies, settings.load);
        let sink = &recorder;
        scope.spawn(move || on_its_own(drive_into(sink, target, until)));
        if cold.per_second > 0 {
            scope.spawn(move || cold.ask(until - Instant::now(), cold.per_second));
        }
        if changes > 0 {
            scope.spawn(|| on_its_own(change(url, settings.tenants, changes, until)));
        }
        let watch = Watch { runtime, statements, server, load: &recorder, cold: &of_cold };
        spans(watch, plan)
    })
}

/// Shows each second, and gives what happened in each time to live.
fn spans(mut watch: Watch<'_>, plan: &Plan) -> Vec<Span> {
    println!("{:>5}{}", "s", Span::HEAD);
    let from = Instant::now() + WARM;
    let mut spans = vec![Span::default()];
    watch.each_second(from, plan.end(), |end, span| {
        if end > plan.ends[spans.len() - 1] {
            println!("   --");
            spans.push(Span::default());
        }
        println!("{:>5}{}", (end - from).as_secs(), span.line());
        spans.last_mut().unwrap().add(&span);
    });
    spans
}

/// Commits changes at a steady pace, and says how many it came to.
pub async fn change(url: &str, tenants: u32, per_second: u32, until: Instant) {
    let mut writer = PgConnection::connect(url).await.unwrap();
    let mut beat = interval(Duration::from_secs(1) / per_second);
    let mut dice = fastrand::Rng::with_seed(7);
    let (began, mut count) = (Instant::now(), 0_u32);
    while Instant::now() < until {
        beat.tick().await;
        let tenant = dice.u32(..tenants);
        common::flip(&mut writer, tenant, changing(tenant)).await;
        count += 1;
    }
    println!("{:.1} changes/s were committed", f64::from(count) / began.elapsed().as_secs_f64());
}
