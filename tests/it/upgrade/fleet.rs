//! Servers of both versions under a stream of checks and with watchers, while changes are committed.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{
    Freshness, WatchChangesRequest, WatchChangesResponse,
    entitlement_service_client::EntitlementServiceClient,
    watch_changes_response::{Event, TenantChanged},
};
use tokio::task::JoinSet;
use tonic::{Streaming, transport::Channel};

use crate::{
    change_log::revision,
    harness::{Database, Row, id, process::Process, server::check_request},
};

/// Longer than any change takes to travel, on a busy machine.
const TRAVELLED: Duration = Duration::from_secs(5);
/// Between two checks of one stream.
const PAUSE: Duration = Duration::from_millis(2);

/// What a server has said to those who ask it, and those who watch.
#[derive(Debug, Default)]
struct Said {
    checks: usize,
    /// The last answer.
    allowed: bool,
    freshness: Freshness,
    /// The highest revision that a watcher was told, and how often to ask again for everything.
    told: u64,
    resets: usize,
    /// How often it was told of a change whose revision could not be read, or not yet.
    unread: usize,
    /// What should not have been.
    wrong: Vec<String>,
}

/// A server, with those who ask it.
struct Member {
    /// It tells of what it has missed while another core became its upstream, and knows no more.
    may_not_have_read: bool,
    name: &'static str,
    process: Process,
    said: Arc<Mutex<Said>>,
    asking: JoinSet<()>,
}

/// All servers in front of one database.
pub struct Fleet {
    pub database: Database,
    members: Vec<Member>,
    flips: u32,
}

impl Fleet {
    /// In front of a migrated database.
    pub async fn new(database: Database) -> Self {
        database.mk_subscribed(1, "finance", Row::default()).await;
        Self { database, members: Vec::new(), flips: 0 }
    }

    /// A server joins, once it is ready, and is asked and watched from then on.
    pub async fn join(&mut self, name: &'static str, process: Process) {
        self.join_as(name, process, false).await;
    }

    /// The same of an edge.
    pub async fn join_edge(&mut self, name: &'static str, process: Process) {
        self.join_as(name, process, true).await;
    }

    async fn join_as(&mut self, name: &'static str, mut process: Process, may_not_have_read: bool) {
        let client = process.client().await;
        let said = Arc::new(Mutex::new(Said::default()));
        let mut asking = JoinSet::new();
        let request = WatchChangesRequest {
            tenant_ids: vec![id(1)],
            // No field of the previous version; it must not mind.
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let watch = client.clone().watch_changes(request).await.unwrap().into_inner();
        asking.spawn(watch_on(watch, Arc::clone(&said)));
        asking.spawn(check_on(client, Arc::clone(&said)));
        self.members.push(Member { may_not_have_read, name, process, said, asking });
    }

    /// Nobody asks this server any more, and it is ended. Gives what it has logged.
    pub fn leave(&mut self, name: &'static str) -> String {
        let place = self.members.iter().position(|member| member.name == name).unwrap();
        let mut member = self.members.remove(place);
        member.asking.abort_all();
        member.process.signal("TERM");
        assert_eq!(member.process.wait(Duration::from_secs(60)), 0, "{}", member.process.logged);
        member.is_right();
        std::mem::take(&mut member.process.logged)
    }

    /// Commits a change, and sees it arrive at each server's callers and watchers, with the revision
    /// that the database has.
    pub async fn flip(&mut self) {
        let known = revision(&self.database, 1).await;
        let (sql, is_granted) = match self.flips % 4 {
            0 => ("UPDATE tenants SET status = 'suspended'", false),
            1 => ("UPDATE tenants SET status = 'active'", true),
            2 => ("UPDATE tenant_subscriptions SET status = 'cancelled'", false),
            _ => ("UPDATE tenant_subscriptions SET status = 'active'", true),
        };
        self.flips += 1;
        let told = |member: &Member| {
            let said = member.said.lock().unwrap();
            said.resets + if member.may_not_have_read { said.unread } else { 0 }
        };
        let before: Vec<usize> = self.members.iter().map(told).collect();
        self.database.execute(sql).await;
        let now = revision(&self.database, 1).await;
        assert_eq!(now, known + 1, "one change, one revision");
        let now = now.cast_unsigned();
        for (member, before) in self.members.iter().zip(before) {
            let what = format!("{}: {is_granted} at revision {now}, told", member.name);
            member
                .until(&what, |said| {
                    let unread = if member.may_not_have_read { said.unread } else { 0 };
                    let is_told = said.told >= now || said.resets + unread > before;
                    let freshness = said.freshness;
                    said.allowed == is_granted
                        && freshness.revision == now
                        && !freshness.stale
                        && is_told
                })
                .await;
            member.is_right();
        }
    }

    pub async fn flip_times(&mut self, times: u32) {
        for _ in 0..times {
            self.flip().await;
        }
    }
}

impl Member {
    async fn until(&self, what: &str, holds: impl Fn(&Said) -> bool) {
        let deadline = Instant::now() + TRAVELLED;
        while !holds(&self.said.lock().unwrap()) {
            let is_late = Instant::now() >= deadline;
            assert!(!is_late, "not within {TRAVELLED:?}: {what}: {:?}", self.said.lock().unwrap());
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn is_right(&self) {
        let said = self.said.lock().unwrap();
        assert!(said.wrong.is_empty(), "{}: {:?}", self.name, said.wrong);
        assert!(said.checks > 0, "{} is asked", self.name);
    }
}

async fn check_on(mut client: EntitlementServiceClient<Channel>, said: Arc<Mutex<Said>>) {
    let mut pause = tokio::time::interval(PAUSE);
    loop {
        pause.tick().await;
        let answer = client.check_module(check_request(1, "finance")).await;
        let mut said = said.lock().unwrap();
        said.checks += 1;
        match answer.map(tonic::Response::into_inner) {
            Err(failure) => said.wrong.push(format!("a check failed: {failure}")),
            Ok(answer) => {
                let freshness = answer.freshness.unwrap();
                let before = std::mem::replace(&mut said.freshness, freshness).revision;
                said.allowed = answer.allowed;
                if freshness.revision < before {
                    said.wrong.push(format!("revision {} after {before}", freshness.revision));
                }
            }
        }
    }
}

async fn watch_on(mut watch: Streaming<WatchChangesResponse>, said: Arc<Mutex<Said>>) {
    loop {
        let event = watch.message().await;
        let mut said = said.lock().unwrap();
        match event.map(|message| message.and_then(|message| message.event)) {
            Ok(Some(Event::TenantChanged(TenantChanged { revision, .. }))) => {
                said.told = said.told.max(revision);
                said.unread += usize::from(revision == 0);
            }
            Ok(Some(Event::Reset(_))) => said.resets += 1,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                said.wrong.push("the stream of changes has ended".to_owned());
                return;
            }
        }
    }
}
