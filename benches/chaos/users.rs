//! Users of the apps, and what they see.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::{TENANTS, common::id, http, rights::Rights};

/// Users of each app at the same time.
const USERS: usize = 4;
/// An unmarked answer may be this old: a stream that is silent is trusted for 30 s, a server that
/// lags for 10 s, and a call may take 2 s.
const PROMISED: Duration = Duration::from_secs(45);
/// Nobody waits longer for a page.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Users {
    pub addresses: [(&'static str, SocketAddr); 2],
    pub rights: Arc<Rights>,
    pub seen: Arc<Seen>,
}

/// What users have seen, by app.
#[derive(Default)]
pub struct Seen(Mutex<[Counts; 2]>);

#[derive(Default)]
struct Counts {
    app: &'static str,
    fresh: u64,
    stale: u64,
    denied: u64,
    unavailable: u64,
    /// Requests of tenants that are held which did not pass.
    failed: Vec<String>,
    /// What was granted, or denied, unmarked and for too long.
    wrong: Vec<String>,
    millis: Vec<f64>,
    /// Of those whose tenant is held.
    longest_held: f64,
}

/// A page.
struct Page {
    status: u16,
    is_stale: bool,
}

impl Users {
    async fn page(&self, address: SocketAddr, tenant: u32) -> Page {
        let request = format!(
            "GET /ledger HTTP/1.1\r\nHost: erp\r\nX-Tenant-ID: {}\r\nConnection: close\r\n\r\n",
            id(tenant)
        );
        let asked = timeout(PATIENCE, http::send(address, &request)).await;
        asked.map_or(Page { status: 0, is_stale: false }, |reply| Page {
            status: reply.status,
            is_stale: reply.body.ends_with("stale"),
        })
    }

    /// Every process holds every tenant afterwards, almost certainly: which of them answers is not
    /// for us to say.
    pub async fn warm_up(&self) {
        for (_, address) in self.addresses {
            for _ in 0..15 {
                let rounds = (0..USERS as u32).map(|_| async move {
                    for tenant in 0..TENANTS {
                        self.page(address, tenant).await;
                    }
                });
                join_all(rounds).await;
            }
        }
    }

    pub async fn ask_until(&self, end: Instant) {
        let users = (0..self.addresses.len() * USERS).map(|user| async move {
            let app = user % self.addresses.len();
            while Instant::now() < end {
                let tenant = fastrand::u32(..TENANTS);
                let (before, began) = (self.rights.of(tenant), Instant::now());
                let page = self.page(self.addresses[app].1, tenant).await;
                self.note(app, tenant, &page, before, began);
                sleep(Duration::from_millis(5)).await;
            }
        });
        join_all(users).await;
    }

    fn note(
        &self,
        app: usize,
        tenant: u32,
        page: &Page,
        right: Option<(bool, Instant)>,
        began: Instant,
    ) {
        let mut all = self.seen.0.lock().unwrap();
        let counts = &mut all[app];
        counts.app = self.addresses[app].0;
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        counts.millis.push(millis);
        if right.is_none() {
            counts.longest_held = counts.longest_held.max(millis);
        }
        match (page.status, page.is_stale) {
            (200, false) => counts.fresh += 1,
            (200, true) => counts.stale += 1,
            (403, _) => counts.denied += 1,
            _ => counts.unavailable += 1,
        }
        match right {
            None if page.status != 200 => {
                counts.failed.push(format!(
                    "tenant {tenant}: {} after {:?}",
                    page.status,
                    began.elapsed()
                ));
            }
            Some((has, since)) if began.duration_since(since) > PROMISED => {
                let is_wrong = match page.status {
                    200 => !has && !page.is_stale,
                    403 => has,
                    _ => false,
                };
                if is_wrong {
                    let since = began.duration_since(since);
                    counts.wrong.push(format!(
                        "tenant {tenant}: {} {since:?} after it became {has}",
                        page.status
                    ));
                }
            }
            _ => {}
        }
    }

    /// Everything is as the database says.
    pub async fn until_all_is_well(&self) {
        let deadline = Instant::now() + PROMISED;
        for (app, address) in self.addresses {
            for tenant in 0..TENANTS {
                let wanted =
                    if self.rights.of(tenant).is_none_or(|(has, _)| has) { 200 } else { 403 };
                loop {
                    let page = self.page(address, tenant).await;
                    if page.status == wanted && !page.is_stale {
                        break;
                    }
                    assert!(
                        Instant::now() < deadline,
                        "{app}, tenant {tenant}: still {}",
                        page.status
                    );
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

impl Seen {
    /// Prints it; says whether anything was wrong.
    pub fn report(&self) -> bool {
        let mut is_wrong = false;
        println!(
            "{:<10}{:>10}{:>10}{:>10}{:>13}{:>9}{:>9}{:>10}{:>12}{:>14}",
            "",
            "fresh",
            "stale",
            "denied",
            "unavailable",
            "failed",
            "wrong",
            "p99 ms",
            "longest ms",
            "of those held"
        );
        for counts in self.0.lock().unwrap().iter_mut() {
            let Counts {
                app,
                fresh,
                stale,
                denied,
                unavailable,
                failed,
                wrong,
                millis,
                longest_held,
            } = counts;
            millis.sort_by(f64::total_cmp);
            let at = |share: usize| millis[(millis.len() - 1) * share / 100];
            println!(
                "{app:<10}{fresh:>10}{stale:>10}{denied:>10}{unavailable:>13}{:>9}{:>9}{:>10.1}{:>12.1}{longest_held:>14.1}",
                failed.len(),
                wrong.len(),
                at(99),
                at(100)
            );
            for line in failed.iter().chain(wrong.iter()).take(20) {
                println!("  {line}");
            }
            is_wrong |= !failed.is_empty() || !wrong.is_empty();
        }
        is_wrong
    }
}
