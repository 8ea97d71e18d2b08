//! Who watches tenants whose rights end: a process of its own, by hand, since a real client would
//! take longer to read than is measured.

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::{
    clock::Clock,
    proto::v1::{WatchChangesRequest, WatchChangesResponse, watch_changes_response::Event},
};
use futures_util::future::join_all;
use prost::Message;

use crate::{
    common,
    load::{
        self,
        h2::{Connection, DATA, END_STREAM, Frame, HEADERS, WINDOW_UPDATE},
    },
    world::on_its_own,
};

pub const WATCHERS: usize = 1_000;
const CONNECTIONS: usize = 10;
const PATH: &str = "/entitlement.v1.EntitlementService/WatchChanges";
/// What is told later than this is missed.
const PATIENCE: TimeDelta = TimeDelta::seconds(10);

/// What a watcher was told.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct Report {
    /// From the instant to the last transition that was new to it.
    pub last_millis: Option<f64>,
    /// Tenants that it was told of.
    pub told: usize,
    pub twice: usize,
    pub early: usize,
    pub resets: usize,
    /// Changes that it was told.
    pub changes: usize,
}

/// What is watched, and how long.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Tenants of each watcher.
    pub each: usize,
    /// Of so many in all: once each is named, the first are named again.
    pub tenants: usize,
    /// When rights end. They watch for some seconds longer.
    pub midnight: DateTime<Utc>,
}

impl Plan {
    /// The same, to watch until an instant.
    pub fn until(end: DateTime<Utc>, each: usize, tenants: usize) -> Self {
        Self { each, tenants, midnight: end - PATIENCE }
    }

    fn read() -> Self {
        let [each, tenants] =
            ["BENCH_EACH", "BENCH_AMONG"].map(|name| env::var(name).unwrap().parse().unwrap());
        Self { each, tenants, midnight: env::var("BENCH_MIDNIGHT").unwrap().parse().unwrap() }
    }
}

/// The process of all watchers.
pub struct Watchers {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watchers {
    /// Starts it, and waits until all of them watch.
    pub fn start(port: u16, Plan { each, tenants, midnight }: Plan) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env("BENCH_ROLE", "watchers").env("BENCH_PORT", port.to_string());
        command.env("BENCH_EACH", each.to_string()).env("BENCH_AMONG", tenants.to_string());
        command
            .env("BENCH_MIDNIGHT", midnight.to_rfc3339())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().expect("the watchers watch").unwrap(), "opened");
        Self { child, lines }
    }

    /// What each was told. Waits until nothing more is.
    pub fn reports(mut self) -> Vec<Report> {
        let reports: Vec<Report> =
            self.lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(self.child.wait().unwrap().success() && reports.len() == WATCHERS);
        reports
    }
}

/// The process itself.
pub fn run() {
    let port = env::var("BENCH_PORT").unwrap().parse().unwrap();
    let plan = Plan::read();
    let midnight = plan.midnight;
    on_its_own(async {
        let mut all =
            join_all((0..CONNECTIONS).map(|number| Watching::open(port, number, plan))).await;
        println!("opened");
        let left = (midnight + PATIENCE - Clock::System.now()).to_std().unwrap_or_default();
        _ = tokio::time::timeout(
            left,
            join_all(all.iter_mut().map(|watching| watching.listen(midnight))),
        )
        .await;
        for watcher in all.iter().flat_map(|watching| &watching.watchers) {
            println!("{}", serde_json::to_string(&watcher.report).unwrap());
        }
    });
}

/// Some watchers on one connection.
struct Watching {
    connection: Connection,
    watchers: Vec<Watcher>,
}

#[derive(Default)]
struct Watcher {
    /// What has come of a message that is not whole yet.
    bytes: Vec<u8>,
    is_open: bool,
    tenants: HashSet<String>,
    report: Report,
}

impl Watching {
    async fn open(port: u16, number: usize, Plan { each, tenants: among, .. }: Plan) -> Self {
        let connection = Connection::open(None, port, PATH).await;
        let mut watching = Self { connection, watchers: Vec::new() };
        let here = WATCHERS / CONNECTIONS;
        for watcher in number * here..(number + 1) * here {
            let tenants = (watcher * each..(watcher + 1) * each)
                .map(|tenant| common::id((tenant % among) as u32));
            watching.connection.request(&load::body(&WatchChangesRequest {
                tenant_ids: tenants.collect(),
                ..WatchChangesRequest::default()
            }));
            watching.watchers.push(Watcher::default());
            // One after the other: what the server reads of questions is bounded.
            while !watching.watchers.last().unwrap().is_open {
                watching.exchange(DateTime::UNIX_EPOCH).await;
            }
        }
        watching
    }

    async fn listen(&mut self, midnight: DateTime<Utc>) {
        loop {
            self.exchange(midnight).await;
        }
    }

    async fn exchange(&mut self, midnight: DateTime<Utc>) {
        let watchers = &mut self.watchers;
        let is_open = self.connection.exchange(|_, frame| {
            let Frame { kind, flags, stream, payload } = frame;
            match kind {
                DATA => watchers[stream as usize / 2].take(payload, midnight),
                HEADERS if flags & END_STREAM == 0 => {}
                WINDOW_UPDATE => {}
                _ => panic!("a watch ended: frame {kind} {payload:?}"),
            }
        });
        assert!(is_open.await, "the server closed the connection");
    }
}

impl Watcher {
    fn take(&mut self, payload: &[u8], midnight: DateTime<Utc>) {
        self.bytes.extend_from_slice(payload);
        while let Some(([_, length @ ..], rest)) = self.bytes.split_first_chunk::<5>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(message) = rest.get(..length) else { return };
            let message = WatchChangesResponse::decode(message).unwrap();
            self.bytes.drain(..5 + length);
            self.hear(message.event.unwrap(), midnight);
        }
    }

    fn hear(&mut self, event: Event, midnight: DateTime<Utc>) {
        match event {
            Event::Opened(_) => self.is_open = true,
            Event::Reset(_) => self.report.resets += 1,
            Event::TenantChanged(_) => self.report.changes += 1,
            Event::Transition(transition) => {
                let after = Clock::System.now() - midnight;
                self.report.early += usize::from(after < TimeDelta::zero());
                if self.tenants.insert(transition.tenant_id) {
                    self.report.told += 1;
                    self.report.last_millis = Some(after.as_seconds_f64() * 1000.0);
                } else {
                    self.report.twice += 1;
                }
            }
            _ => {}
        }
    }
}
