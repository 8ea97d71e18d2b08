//! An edge that holds every tenant.

use super::core;
use crate::{
    harness::{Database, Row, Server, http, id, postgres::free_port, process::Process, until_so},
    metrics::SHOWN,
};

const HOLD_ALL: [&str; 2] = ["--hold", "all"];

impl Server {
    pub async fn until_it_says(&self, sentence: &str) {
        let line = format!("\nhold: {sentence}");
        until_so(sentence, async || self.readyz().await.body.ends_with(&line)).await;
    }

    /// What the metrics say: a word, and how many are missing.
    pub async fn holds(&self, word: &str, missing: f64) {
        let metrics = self.metrics().await;
        for other in ["used", "unlisted", "some", "all"] {
            let found = metrics.of(&format!("hold_state{{state=\"{other}\"}}"));
            assert_eq!(found, f64::from(u8::from(other == word)), "{other}");
        }
        assert_eq!(metrics.of("hold_missing_tenants"), missing);
    }

    pub async fn until_held_are(&self, tenants: f64) {
        self.until_metrics(|metrics| metrics.of("cache_entries") == tenants).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tenant_is_held_before_anybody_asks_also_those_that_come_later() {
    let core = core().await;
    let mut edge = core.edge(&[&SHOWN[..], &["--hold", "all"]].concat()).await;
    edge.until_held_are(2.0).await;
    core.database.mk_subscribed(3, "finance", Row::default()).await;
    edge.until_held_are(3.0).await;
    core.running.stop().await.unwrap();
    for tenant in 1..=3 {
        assert!(edge.check(tenant, "finance").await.allowed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_a_tenant_is_held_once_somebody_has_asked_for_it() {
    let core = core().await;
    let mut edge = core.edge(&SHOWN).await;
    edge.is_granted_unmarked(1).await;
    core.database.mk_subscribed(3, "finance", Row::default()).await;
    until_so("the third tenant is known", async || edge.check(3, "finance").await.allowed).await;
    assert_eq!(edge.metrics().await.of("cache_entries"), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_says_once_all_is_held_in_its_log_to_probes_and_in_its_metrics() {
    let core = core().await;
    let upstream = format!("http://127.0.0.1:{}", core.port());
    let flags = ["--listen", "127.0.0.1:0", "--upstream", &upstream];
    let mut edge = Process::edge(&[&flags[..], &SHOWN, &HOLD_ALL].concat());
    let probes = edge.address_of("metrics and probes").parse().unwrap();
    edge.wait_for("all 2 tenants are held");
    let reply = http::get(probes, "/readyz").await;
    assert_eq!((reply.status, &*reply.body), (200, "ready\nhold: all 2 tenants are held"));
    let page = http::get(probes, "/metrics").await.body;
    assert!(page.contains("entitlementd_hold_state{state=\"all\"} 1"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_need_not_be_held_nothing_is_said_of_it() {
    let core = core().await;
    let edge = core.edge(&SHOWN).await;
    edge.holds("used", 0.0).await;
    assert_eq!(edge.readyz().await.body, "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_tenants_are_listed_nobody_is_told_that_all_are_held() {
    let core = core().await;
    let edge = core.unready_edge(&[free_port()], &[&SHOWN[..], &HOLD_ALL].concat()).await;
    edge.until_readyz(503, "unready").await;
    edge.until_it_says("0 tenants are held, of how many is not known yet").await;
    edge.holds("unlisted", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_another_had_to_make_room_for_is_known_to_be_missing() {
    let core = core().await;
    let flags = [&SHOWN[..], &HOLD_ALL, &["--cache-capacity", "2"]].concat();
    let edge = core.edge(&flags).await;
    edge.until_it_says("all 2 tenants are held").await;
    core.database.mk_subscribed(3, "finance", Row::default()).await;
    edge.until_it_says("2 of at least 3 tenants are held").await;
    edge.holds("some", 1.0).await;
    let another = core.edge(&flags).await;
    another.until_it_says("2 of at least 3 tenants are held").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_cannot_be_read_is_missing_until_it_can() {
    let database = Database::sqlite().await;
    for tenant in [1, 2] {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    let starts = "UPDATE tenant_subscriptions SET starts_at =";
    let whose = format!("WHERE tenant_id = {}", database.uuid(&id(2)));
    database.execute(&format!("{starts} 'some day' {whose}")).await;
    let core = Server::start_with(database, &SHOWN).await;
    let edge = core.edge(&[&SHOWN[..], &HOLD_ALL].concat()).await;
    edge.until_it_says("1 of at least 2 tenants are held").await;
    edge.holds("some", 1.0).await;
    core.database.execute(&format!("{starts} '2026-01-01T00:00:00.000+00:00' {whose}")).await;
    edge.until_it_says("all 2 tenants are held").await;
    edge.holds("all", 0.0).await;
}
