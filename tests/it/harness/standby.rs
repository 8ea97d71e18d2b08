//! A streaming replica: a cluster like any other, which can only be read until it is promoted.

use std::time::{Duration, Instant};

use super::{
    keeper::{PATIENCE, new_folder},
    postgres::Cluster,
};

impl Cluster {
    /// Starts a replica of a cluster. Settings are not copied, and it must allow as many
    /// connections as the primary.
    pub fn standby_of(primary: &Self, settings: &[&str]) -> Self {
        let folder = new_folder();
        let data = folder.join("data");
        primary.run("pg_basebackup", &["-R", "-c", "fast", "-D", data.to_str().unwrap()]);
        // By default it would wait for 5 s before it looks again for a primary that was away.
        Self::run_in(folder, &[&["wal_retrieve_retry_interval=100ms"], settings].concat())
    }

    /// From now on the standby receives changes, but does not show them.
    pub async fn pause_replay(&self) {
        self.execute("SELECT pg_wal_replay_pause()").await;
        self.until_true("SELECT pg_get_wal_replay_pause_state() = 'paused'").await;
    }

    pub async fn resume_replay(&self) {
        self.execute("SELECT pg_wal_replay_resume()").await;
    }

    /// From now on the standby receives nothing any more.
    pub async fn stop_following(&self) {
        self.execute("ALTER SYSTEM SET primary_conninfo = ''").await;
        self.execute("SELECT pg_reload_conf()").await;
        self.until_true("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)").await;
    }

    /// From now on the standby follows this primary.
    pub async fn follow(&self, primary: &Self) {
        let to = format!("host=127.0.0.1 port={} user=postgres", primary.port());
        self.execute(&format!("ALTER SYSTEM SET primary_conninfo = '{to}'")).await;
        self.execute("SELECT pg_reload_conf()").await;
        self.catch_up(primary).await;
    }

    /// Waits until the standby shows all that the primary has committed by now.
    pub async fn catch_up(&self, primary: &Self) {
        let written: String = primary.ask("SELECT pg_current_wal_lsn()::text").await;
        self.until_true(&format!("SELECT pg_last_wal_replay_lsn() >= '{written}'")).await;
    }

    /// Makes a primary of the standby.
    pub async fn promote(&self) {
        assert!(self.ask::<bool>("SELECT pg_promote(true, 30)").await);
    }

    /// The standby does what it was told when it comes to it: it can only be asked again.
    async fn until_true(&self, question: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ask::<bool>(question).await {
            assert!(Instant::now() < deadline, "never true: {question}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
