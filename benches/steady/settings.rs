//! What is run, and how long.

use std::{env, str::FromStr, time::Duration};

pub const SERVER_CORE: &str = "0";
pub const LOAD_CORE: &str = "1";
/// For how long tenants that are not held are asked for while nothing else goes on.
pub const IDLE: Duration = Duration::from_secs(10);
/// Asked for before those, so that connections to the database are open.
pub const FIRST: u32 = 20;
/// Through so many times to live, unless told otherwise.
pub const TTLS: u32 = 3;

pub struct Settings {
    pub tenants: u32,
    pub ttl: Duration,
    pub load_for: Option<Duration>,
    pub delay: Duration,
    /// Questions each second for tenants that are not held.
    pub cold: u32,
    pub load: [usize; 2],
    pub pairs: u32,
    pub is_pinned: bool,
    only: String,
}

impl Settings {
    pub fn read() -> Self {
        let load = text("BENCH_LOAD").unwrap_or("10x20".to_owned());
        let (connections, streams) = load.split_once('x').expect("BENCH_LOAD, such as 10x20");
        Self {
            tenants: number("BENCH_TENANTS", 100_000),
            ttl: humantime::parse_duration(&text("BENCH_TTL").unwrap_or("20s".to_owned()))
                .expect("BENCH_TTL"),
            load_for: text("BENCH_SECONDS")
                .map(|text| Duration::from_secs(text.parse().expect("BENCH_SECONDS"))),
            delay: Duration::from_millis(number("BENCH_DELAY_MS", 0)),
            cold: number("BENCH_COLD", 50),
            load: [connections, streams].map(|count| count.parse().expect("BENCH_LOAD")),
            pairs: number("BENCH_PAIRS", 20),
            is_pinned: number("BENCH_PIN", 1) != 0,
            only: text("BENCH_ONLY").unwrap_or_default(),
        }
    }

    pub fn is_wanted(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Tenants that are asked for once and never held before, in one run.
    pub fn cold_tenants(&self) -> u32 {
        let load_for = self.load_for.unwrap_or(self.ttl * (TTLS + 1));
        FIRST + self.cold * (IDLE + load_for + Duration::from_secs(10)).as_secs() as u32
    }
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn number<T: FromStr>(name: &str, default: T) -> T {
    text(name).map_or(default, |text| {
        text.parse().ok().unwrap_or_else(|| panic!("{name} is not a number: {text}"))
    })
}
