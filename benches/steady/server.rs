//! The server that is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{self, process},
    load::{self, Target},
    recorder::{Recorder, Second},
    settings::SERVER_CORE,
    world::World,
};

pub const CHECK_MODULE: &str = "/entitlement.v1.EntitlementService/CheckModule";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];
/// Longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Warnings that are shown.
const SHOWN: usize = 3;

/// The server, ended when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    pub metrics: SocketAddr,
    pub log: Arc<Log>,
}

/// What it has logged.
#[derive(Default)]
pub struct Log {
    pub lines: AtomicU64,
    pub warnings: AtomicU64,
    /// The first warnings.
    pub shown: Mutex<Vec<String>>,
}

impl Log {
    fn take(&self, line: &str) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        if line.contains("WARN") || line.contains("ERROR") {
            self.warnings.fetch_add(1, Ordering::Relaxed);
            let mut shown = self.shown.lock().unwrap();
            if shown.len() < SHOWN {
                shown.push(line.to_owned());
            }
        }
    }
}

impl Server {
    pub fn start(world: &World, flags: &[&str]) -> Self {
        let mut command = match world.settings.is_pinned {
            true => common::program_on_core(SERVER_CORE),
            false => process::program(),
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
        command.args(["--database-url", &world.url_for_server]).args(flags);
        // Those who are asked for once would drive out those who are held: the default is as many as are held here.
        let capacity = world.settings.tenants + world.settings.cold_tenants();
        command.args(["--cache-capacity", &capacity.to_string()]);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("taskset, of util-linux");
        let log = Arc::new(Log::default());
        let (sender, lines) = mpsc::channel();
        let (taken, stderr) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                taken.take(&line);
                // Nobody takes them once the server is ready.
                _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let wait_for = |words: &str| loop {
            let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("the server did not say {words:?}"));
            if line.contains(words) {
                return line;
            }
        };
        let metrics = SocketAddr::from(([127, 0, 0, 1], port_in(&wait_for("metrics and probes are at"))));
        let port = port_in(&wait_for("listening on"));
        wait_for(": ready");
        Self { child, port, metrics, log }
    }

    /// Nanoseconds of CPU that it has taken.
    pub fn cpu_nanos(&self) -> u64 {
        common::cpu_nanos(self.child.id())
    }

    pub fn rss_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Asks for every tenant that is to be held, once.
    pub fn hold(&self, world: &World) {
        let (sink, began) = (Recorder::default(), Instant::now());
        world.runtime.block_on(load::ask_each(&sink, self.target(&world.bodies, world.settings.load)));
        let Second { latencies, failed } = sink.take();
        let (held, seconds) = (latencies.len(), began.elapsed().as_secs_f64());
        println!(
            "{held} tenants held in {seconds:.1} s, p99 {:.1} ms, {failed} failed",
            Second::millis(&latencies, 0.99)
        );
    }

    /// How it is asked.
    pub fn target<'a>(&self, bodies: &'a [Vec<u8>], load: [usize; 2]) -> Target<'a> {
        Target { tls: None, port: self.port, path: CHECK_MODULE, bodies, answer: &ALLOWED, load }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn port_in(line: &str) -> u16 {
    let (_, rest) = line.split_once("127.0.0.1:").unwrap();
    rest.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse().unwrap()
}
