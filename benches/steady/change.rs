//! What a change a second costs: from its commit to the flipped answer under load, and the server's
//! CPU.

use std::{
    thread,
    time::{Duration, Instant},
};

use entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient;
use sqlx::{Connection, PgConnection};
use tonic::transport::Channel;

use crate::{
    common::{self, quartiles},
    load::drive_into,
    recorder::Recorder,
    server::Server,
    world::{World, changing, on_its_own, question, question_about},
};

pub const NAME: &str = "a change a second";
/// With changes, and as many without.
const SECONDS: u32 = 5;
/// Between two questions to the server: they share a core with what is measured.
const PAUSE: Duration = Duration::from_micros(200);
/// A change that took longer was not heard of.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(world: &World) {
    println!("\n{NAME}: {} pairs of {SECONDS} s with and without", world.settings.pairs);
    let server = Server::start(world, &[]);
    server.hold(world);
    let recorder = Recorder::default();
    let slices = 2 * world.settings.pairs;
    let until = Instant::now() + Duration::from_secs(u64::from(SECONDS * slices) + 1);
    let (mut flips, mut checks) = (Vec::new(), Vec::new());
    let mut costs = [vec![], vec![]];
    thread::scope(|scope| {
        let target = server.target(&world.bodies, world.settings.load);
        let sink = &recorder;
        scope.spawn(move || on_its_own(drive_into(sink, target, until)));
        let mut writer = Writer::connect(world, &server);
        for slice in 0..slices {
            // Who goes first alternates.
            let changes = (slice / 2 + slice) % 2 == 1;
            let cpu = server.process.cpu_nanos();
            recorder.take();
            for _ in 0..SECONDS {
                let next = Instant::now() + Duration::from_secs(1);
                if changes {
                    checks.push(writer.check().as_secs_f64() * 1000.0);
                    flips.push(writer.flip().as_secs_f64() * 1000.0);
                }
                thread::sleep(next - Instant::now());
            }
            let answers = recorder.take().latencies.len();
            costs[usize::from(changes)]
                .push((server.process.cpu_nanos() - cpu) as f64 / 1000.0 / answers as f64);
        }
    });
    print_millis("commit to flipped answer", flips);
    print_millis("one check by the same client, right before", checks);
    print_costs(&costs);
}

fn print_millis(name: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    let [p50, p99, max] = [50, 99, 100].map(|percent| millis[(millis.len() - 1) * percent / 100]);
    println!("{name}, {} times: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms", millis.len());
}

fn print_costs([without, with]: &[Vec<f64>; 2]) {
    let ratios: Vec<f64> = with.iter().zip(without).map(|(with, without)| with / without).collect();
    let [low, median, high] = quartiles(&ratios);
    let [without, with] = [without, with].map(|costs| quartiles(costs)[1]);
    println!(
        "CPU an answer: {without:.3} µs without changes, {with:.3} with: {median:.3} ({low:.3} to {high:.3})"
    );
}

/// Changes tenants at random, and asks for them until the answer is another one.
struct Writer<'a> {
    world: &'a World,
    connection: PgConnection,
    client: EntitlementServiceClient<Channel>,
    dice: fastrand::Rng,
}

impl<'a> Writer<'a> {
    fn connect(world: &'a World, server: &Server) -> Self {
        let connection = world.runtime.block_on(PgConnection::connect(&world.url)).unwrap();
        let client = world.runtime.block_on(common::connect(&format!("127.0.0.1:{}", server.port)));
        Self { world, connection, client, dice: fastrand::Rng::with_seed(11) }
    }

    /// How long an answer takes that nothing has changed: what a flipped one takes at least.
    fn check(&mut self) -> Duration {
        let tenant = self.dice.u32(..self.world.settings.tenants);
        let began = Instant::now();
        assert!(
            self.world
                .runtime
                .block_on(self.client.check_module(question(tenant)))
                .unwrap()
                .into_inner()
                .allowed
        );
        began.elapsed()
    }

    /// Gives the time from the commit's return to the flipped answer.
    fn flip(&mut self) -> Duration {
        let runtime = &self.world.runtime;
        let tenant = self.dice.u32(..self.world.settings.tenants);
        let question = question_about(tenant, changing(tenant));
        let is_active =
            runtime.block_on(common::flip(&mut self.connection, tenant, changing(tenant)));
        let committed = Instant::now();
        while runtime
            .block_on(self.client.check_module(question.clone()))
            .unwrap()
            .into_inner()
            .allowed
            != is_active
        {
            assert!(committed.elapsed() < PATIENCE, "a change was not heard of");
            thread::sleep(PAUSE);
        }
        committed.elapsed()
    }
}
