//! What a server holds is kept in a file, and answered from after a restart.

mod kept;
mod refused;
mod restart;

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use entitlementd::proto::replication::{Facts, OutdatedFacts};
use prost::Message;
use tempfile::TempDir;

use crate::{
    harness::{Database, Row, Server, postgres, proxy::Proxy, until_so},
    metrics::SHOWN,
};

/// How long a file is at least: what it begins with, and its checksum.
const PREAMBLE: usize = 20;
const DIGEST: usize = 32;

/// A database that can be made to hang, and a directory for the state of its server.
struct World {
    database: Database,
    network: Proxy,
    folder: TempDir,
    changes: &'static [&'static str],
}

impl World {
    /// Two tenants that may use finance.
    async fn new(changes: &'static [&'static str]) -> Self {
        let database = Database::postgres().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.mk_subscribed(2, "finance", Row::default()).await;
        let network = Proxy::to(postgres::shared().port()).await;
        Self { database, network, folder: tempfile::tempdir().unwrap(), changes }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn file(&self) -> PathBuf {
        self.directory().join("held.state")
    }

    /// A server that may or may not answer yet.
    async fn start_at(&self, now: DateTime<Utc>) -> Server {
        let directory = self.directory();
        let flags = [&SHOWN[..], self.changes, &["--state-dir", directory.to_str().unwrap()]];
        Server::start_unready_at(now, self.database.behind(&self.network).await, &flags.concat())
            .await
    }

    /// A server that has held tenant 1 and stopped while all was well.
    async fn ran_at(&self, now: DateTime<Utc>) {
        let mut server = self.start_at(now).await;
        server.wait_until_ready().await;
        assert_eq!(server.check(1, "hrms").await.plan_slugs, ["enterprise"]);
        server.until_held(1, "finance").await;
        server.running.stop().await.unwrap();
    }
}

impl Server {
    /// News that comes during a load keeps the tenant from being held.
    async fn until_held(&mut self, tenant: u32, module: &str) {
        until_so("the tenant is held", async || {
            let misses = self.metrics().await.of("cache_misses_total");
            assert!(self.check(tenant, module).await.allowed);
            self.metrics().await.of("cache_misses_total") == misses
        })
        .await;
    }
}

/// The facts that a file holds, with whether they are outdated; `None`: it is not whole.
pub fn tenants_in(file: &Path) -> Option<Vec<(Facts, bool)>> {
    let bytes = fs::read(file).ok()?;
    let mut records = bytes.get(PREAMBLE..bytes.len().checked_sub(DIGEST)?)?;
    let mut tenants = Vec::new();
    while let [kind, a, b, c, d, rest @ ..] = records {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let (record, rest) = rest.split_at_checked(length)?;
        if let 4 | 5 = kind {
            let facts = match kind {
                5 => OutdatedFacts::decode(record).unwrap().facts.unwrap(),
                _ => Facts::decode(record).unwrap(),
            };
            tenants.push((facts, *kind == 5));
        }
        records = rest;
    }
    Some(tenants)
}
