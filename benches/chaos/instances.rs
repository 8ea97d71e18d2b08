//! Three instances of the server, each behind a network of its own, and what happens to them.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    common::{postgres::free_port, process::Process},
    proxy::Proxy,
};

/// What can happen to an instance, and how often it has.
const TROUBLE: [&str; 4] = ["killed", "frozen", "cut off", "silent network"];

pub struct Instances {
    all: Vec<Instance>,
    happened: [u32; TROUBLE.len()],
}

struct Instance {
    flags: Vec<String>,
    process: Option<Process>,
    network: Proxy,
    /// What it is in, and until when.
    trouble: Option<(usize, Instant)>,
}

impl Instance {
    fn start(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.process = Some(Process::serve(&flags));
    }

    async fn begin(&mut self, kind: usize) {
        match kind {
            0 => self.process = None,
            1 => self.signal("STOP"),
            2 => {
                self.network.black_hole();
                self.network.cut().await;
            }
            _ => self.network.black_hole(),
        }
    }

    async fn end(&mut self, kind: usize) {
        match kind {
            0 => self.start(),
            1 => self.signal("CONT"),
            _ => self.network.let_through(),
        }
    }

    fn signal(&self, name: &str) {
        self.process.iter().for_each(|process| process.signal(name));
    }
}

impl Instances {
    pub async fn start(url: &str) -> Self {
        let mut all = Vec::new();
        for _ in 0..3 {
            let port = free_port();
            let listen = format!("127.0.0.1:{port}");
            let flags = ["--listen", &listen, "--database-url", url].map(str::to_owned).to_vec();
            let network = Proxy::to(port).await;
            let mut instance = Instance { flags, process: None, network, trouble: None };
            instance.start();
            instance.process.as_mut().unwrap().wait_for("\"ready\"");
            all.push(instance);
        }
        Self { all, happened: [0; TROUBLE.len()] }
    }

    /// Where clients find them.
    pub fn endpoints(&self) -> Vec<String> {
        self.all.iter().map(|instance| format!("127.0.0.1:{}", instance.network.port())).collect()
    }

    /// Each is in trouble for a third of the time or so: now and then all of them are.
    pub async fn trouble_until(&mut self, end: Instant) {
        while Instant::now() < end {
            for instance in &mut self.all {
                match instance.trouble {
                    Some((kind, until)) if Instant::now() >= until => {
                        instance.end(kind).await;
                        instance.trouble = None;
                    }
                    None if fastrand::f64() < 0.01 => {
                        let kind = fastrand::usize(..TROUBLE.len());
                        let span = Duration::from_millis(fastrand::u64(100..15_000));
                        instance.begin(kind).await;
                        instance.trouble = Some((kind, Instant::now() + span));
                        self.happened[kind] += 1;
                    }
                    _ => {}
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// All are well again.
    pub async fn mend(&mut self) {
        for instance in &mut self.all {
            if let Some((kind, _)) = instance.trouble.take() {
                instance.end(kind).await;
            }
        }
    }

    pub fn done(&self) -> String {
        let mut text = "instances were".to_owned();
        for (kind, times) in TROUBLE.iter().zip(self.happened) {
            _ = write!(text, " {kind} {times} times;");
        }
        text
    }
}
