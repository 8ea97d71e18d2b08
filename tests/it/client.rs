//! The callers' library for Rust, against the real server.

mod answers;
mod environment;
mod feature_outages;
mod features;
mod gates;
mod identity;
mod msrv;
mod older;
mod open_feature;
mod outage;
mod outages;
mod renewal;
mod resolve;
mod tenant_db;
mod usage;
mod usage_counted;
mod usage_leased;
mod usage_outage;
mod usage_recorded;

use std::time::{Duration, Instant};

use entitlement_client::{Answer, Config, Entitlements, OnOutage, testing::ManualClock};
use entitlementd::config::ListenAddress;
use uuid::Uuid;

use crate::harness::{Database, NOW, Server, id, postgres::free_port, proxy::Proxy};

/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What servers show, so that questions can be counted, and how often they look for changes.
const FLAGS: [&str; 4] = ["--metrics-listen", "127.0.0.1:0", "--poll-interval", "20ms"];

pub fn tenant(number: u32) -> Uuid {
    id(number).parse().unwrap()
}

pub fn port(server: &Server) -> u16 {
    match &server.running.address {
        ListenAddress::Tcp(address) => address.port(),
        ListenAddress::Unix(socket) => panic!("{socket}"),
    }
}

/// A client of a server, by way of a network that can be cut, and the time as the client sees it.
pub struct World {
    pub server: Server,
    pub network: Proxy,
    pub clock: ManualClock,
    pub client: Entitlements,
}

/// What is asked for so soon after a stream has opened is good for its max_age only.
pub const SETTLING: Duration = Duration::from_secs(4);

impl World {
    pub async fn of(database: Database, on_outage: OnOutage) -> Self {
        Self::with(database, &FLAGS, on_outage).await
    }

    /// The client watches by the time that it is handed out, where it can.
    pub async fn with(database: Database, flags: &[&str], on_outage: OnOutage) -> Self {
        let server = Server::start_with(database, flags).await;
        let network = Proxy::to(port(&server)).await;
        let clock = ManualClock::at(NOW - SETTLING);
        let config = config(&network, on_outage).clock(clock.clone());
        let client = Entitlements::connect(config).unwrap();
        if !flags.contains(&"off") {
            client.watching().await;
        }
        clock.set(NOW);
        Self { server, network, clock, client }
    }

    /// Connections break, and new ones are refused.
    pub async fn lose_the_server(&self) {
        self.network.point_at(free_port());
        self.network.cut().await;
    }

    pub async fn check(&self, number: u32, module: &str) -> Answer {
        self.client.check(tenant(number), module).await.unwrap()
    }

    /// Time passes, for the client and the server.
    pub fn advance(&self, seconds: u32) {
        self.server.advance(seconds.into());
        self.clock.advance(Duration::from_secs(seconds.into()));
    }

    /// Asks until the answer is such, and held: news travels by itself.
    pub async fn until(&self, number: u32, module: &str, such: impl Fn(&Answer) -> bool) {
        let started = Instant::now();
        loop {
            let answer = self.check(number, module).await;
            if such(&answer) && self.client.check_held(tenant(number), module).is_some() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "still {answer:?}");
            tokio::task::yield_now().await;
        }
    }

    /// How many questions of a kind the server was asked.
    pub async fn questions(&self, method: &str) -> f64 {
        let metrics = self.server.metrics().await;
        metrics.of(&format!(r#"rpc_duration_seconds_count{{method="{method}",code="OK"}}"#))
    }
}

pub fn config(network: &Proxy, on_outage: OnOutage) -> Config {
    Config::new(format!("127.0.0.1:{}", network.port()), on_outage)
}
