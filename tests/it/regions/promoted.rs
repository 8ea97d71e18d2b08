//! Failovers, and addresses that lead elsewhere.

use std::{fs, path::PathBuf, time::Instant};

use entitlementd::proto::v1::DecisionReason;

use super::{POLLS, Region, until_current, until_it_says, until_known, until_marked};
use crate::harness::{Database, Server, postgres::Cluster, process, until_so};

/// A file that a server reads again.
struct File(tempfile::TempDir);

impl File {
    fn with(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.put(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("url")
    }

    fn put(&self, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

/// A core whose two addresses are in files, and the files: of the replica, and of the primary.
async fn core(region: &Region) -> (Server, [File; 2]) {
    let replica = region.replica.url(&region.database.name);
    let files = [replica, region.primary_url()].map(|url| File::with(&url));
    let [replica, primary] = files.each_ref().map(|file| file.path().display().to_string());
    let ours = ["--database-url-file", &replica, "--primary-database-url-file", &primary];
    let flags = [&ours[..], &POLLS].concat();
    (Server::start_with(region.of_core().await, &flags).await, files)
}

const ALIEN: &str = "--database-url leads to another database than a replica of the primary's";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_vouches_for_nothing_until_it_is_the_primary_that_is_named() {
    let region = Region::with(3).await;
    let name = region.database.name.clone();
    let (mut core, [_replica, primary]) = core(&region).await;
    assert!(core.check(0, "finance").await.allowed);

    region.replica.promote().await;
    region.database.set_status(0, "suspended").await;
    until_marked(&mut core, 0, Instant::now()).await;
    until_it_says(&core, ALIEN).await;

    primary.put(&region.replica.url(&name));
    until_current(&mut core, 0).await;
    assert!(core.check(0, "finance").await.allowed, "the promoted one never had the change");
    let promoted = Database::on(&region.replica, name).await;
    promoted.set_status(1, "suspended").await;
    until_known(&mut core, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_a_replica_vouches_again_once_it_follows_the_primary_that_is_named() {
    let mut region = Region::with(3).await;
    let name = region.database.name.clone();
    let (mut core, [_replica, primary]) = core(&region).await;
    assert!(core.check(0, "finance").await.allowed);
    let after = Cluster::standby_of(&region.primary, &[]);
    after.catch_up(&region.primary).await;

    region.primary.kill_hard();
    after.promote().await;
    let there = Database::on(&after, name.clone()).await;
    there.set_status(0, "suspended").await;
    until_marked(&mut core, 0, Instant::now()).await;
    primary.put(&after.url(&name));
    region.replica.follow(&after).await;
    until_known(&mut core, 0).await;
    until_current(&mut core, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_of_another_cluster_vouches_for_no_replica() {
    let region = Region::with(1).await;
    let other = Cluster::start(&[]);
    let name = other.empty_database().await;
    process::migrate(&other.url(&name));
    let url = other.url(&name);
    let flags = [&["--primary-database-url", &url][..], &POLLS].concat();
    let mut core = Server::start_unready(region.of_core().await, &flags).await;
    until_it_says(&core, &format!("unready: {ALIEN}")).await;
    core.is_unavailable(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_moves_to_another_replica_when_its_file_says_so() {
    let region = Region::with(3).await;
    let name = region.database.name.clone();
    let (mut core, [replica, _primary]) = core(&region).await;
    assert!(core.check(0, "finance").await.allowed);
    let other = Cluster::standby_of(&region.primary, &[]);
    other.catch_up(&region.primary).await;
    replica.put(&other.url(&name));
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'entitlementd'";
    until_so("it is there", async || region.replica.ask::<i64>(ours).await == 0).await;
    region.database.set_status(0, "suspended").await;
    until_known(&mut core, 0).await;
    core.until(1, "finance", DecisionReason::Enabled).await;
    until_current(&mut core, 1).await;
}
