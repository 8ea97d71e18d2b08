//! The server that is measured.

use std::{net::SocketAddr, time::Instant};

use crate::{
    common::{self, Process, process},
    load::{self, Target},
    recorder::{Recorder, Second},
    settings::SERVER_CORE,
    world::World,
};

const CHECK_MODULE: &str = "/entitlement.v1.EntitlementService/CheckModule";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];

/// The server, ended when dropped.
pub struct Server {
    pub process: Process,
    pub port: u16,
    pub metrics: SocketAddr,
}

impl Server {
    pub fn start(world: &World, flags: &[&str]) -> Self {
        let mut command = match world.settings.is_pinned {
            true => common::program_on_core(SERVER_CORE),
            false => process::program(),
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
        command.args(["--database-url", &world.url_for_server]).args(flags);
        // Those who are asked for once would drive out those who are held: the default is as many
        // as are held here.
        let capacity = world.settings.tenants + world.settings.cold_tenants();
        command.args(["--cache-capacity", &capacity.to_string()]);
        let mut process = Process::start(command);
        let metrics =
            SocketAddr::from(([127, 0, 0, 1], process.port_in("metrics and probes are at")));
        let port = process.port();
        process.wait_for(": ready");
        Self { process, port, metrics }
    }

    pub fn rss_mib(&self) -> f64 {
        self.process.resident_bytes() / f64::from(1 << 20)
    }

    /// Asks for every tenant that is to be held, once.
    pub fn hold(&self, world: &World) {
        let (sink, began) = (Recorder::default(), Instant::now());
        world
            .runtime
            .block_on(load::ask_each(&sink, self.target(&world.bodies, world.settings.load)));
        let Second { latencies, failed } = sink.take();
        let (held, seconds) = (latencies.len(), began.elapsed().as_secs_f64());
        println!(
            "{held} tenants held in {seconds:.1} s, p99 {:.1} ms, {failed} failed",
            Second::millis(&latencies, 0.99)
        );
    }

    /// How it is asked.
    pub fn target<'a>(&self, bodies: &'a [Vec<u8>], load: [usize; 2]) -> Target<'a> {
        Target {
            tls: None,
            socket: None,
            port: self.port,
            path: CHECK_MODULE,
            bodies,
            answer: &ALLOWED,
            load,
        }
    }

    /// Prints the first of its warnings.
    pub fn print_warnings(&self) {
        self.process.log.shown.lock().unwrap().iter().for_each(|warning| println!("  {warning}"));
    }
}
