//! PostgreSQL, a core, an edge and an edge of that, each a process of its own, and the networks
//! between them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::DecisionReason::{self, Enabled, TenantSuspended};
use tokio::task::JoinSet;

use super::asking::{
    Answer, Answers, Asking, CHANGING, QUIET, State, Truth, did_not_wait, judge, oldest,
};
use crate::{
    change_log::revision,
    harness::{
        Database, Row, faults, history::History, id, postgres, postgres::Cluster, process,
        process::Process, proxy::Proxy, until_so,
    },
};

/// By then everything is current again: an attempt to follow that is under way, a pause, and the next
/// attempt, at each hop.
const RECOVERED: Duration = Duration::from_secs(10);
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(100);
/// Those who come to know of a mark are asked this often, on a busy machine.
const ASKED_BY_THEN: Duration = Duration::from_secs(1);

/// The instances, by how many hops they are away from the database's own.
pub const CORE: usize = 0;
pub const MIDDLE: usize = 1;
pub const FAR: usize = 2;

/// An instance, with somebody who asks it.
struct Instance {
    process: Process,
    asking: Asking,
    /// What those were answered who asked the process before.
    before: Vec<Answers>,
    /// Since when it stood still, if it ever did.
    stood: Option<Instant>,
}

pub struct Chain {
    pub database: Database,
    /// The way up from each instance.
    pub links: Vec<Proxy>,
    instances: Vec<Instance>,
    truth: Truth,
    writing: JoinSet<()>,
    /// When something was wrong.
    faults: Vec<(Instant, Instant)>,
}

/// Starts an instance that asks what is behind this port.
fn start(hops: usize, port: u16, database: &Database) -> Process {
    let listen = ["--listen", "127.0.0.1:0"];
    let url = format!("postgres://postgres@127.0.0.1:{port}/{}", database.name);
    let upstream = format!("http://127.0.0.1:{port}");
    match hops {
        // What would be read again for no reason hides what was not heard of.
        CORE => Process::serve(
            &[&listen[..], &["--database-url", &url, "--revalidate-max-rate", "0"]].concat(),
        ),
        MIDDLE => Process::edge(&[&listen[..], &["--upstream", &upstream]].concat()),
        _ => Process::edge(&[&listen[..], &["--upstream", &upstream, "--hold", "all"]].concat()),
    }
}

impl Chain {
    pub async fn new() -> Self {
        Self::over(Duration::ZERO).await
    }

    /// Over networks on which all that comes down takes so much longer.
    pub async fn over(delay: Duration) -> Self {
        Self::of(Database::postgres().await, postgres::shared().port(), delay).await
    }

    /// Below a cluster that the test has to itself.
    pub async fn below(cluster: &Cluster) -> Self {
        let name = cluster.empty_database().await;
        process::migrate(&cluster.url(&name));
        Self::of(Database::on(cluster, name).await, cluster.port(), Duration::ZERO).await
    }

    async fn of(database: Database, mut port: u16, delay: Duration) -> Self {
        for tenant in [CHANGING, QUIET] {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        let (mut links, mut instances) = (Vec::new(), Vec::new());
        for hops in [CORE, MIDDLE, FAR] {
            let link = Proxy::slow_to(port, delay).await;
            let mut process = start(hops, link.port(), &database);
            let address = process.address();
            process::until_serving(&address).await;
            port = address.rsplit(':').next().unwrap().parse().unwrap();
            let asking = Asking::start(&address).await;
            instances.push(Instance { process, asking, before: Vec::new(), stood: None });
            links.push(link);
        }
        let state = async |tenant| State {
            reason: Enabled,
            revision: revision(&database, tenant).await.cast_unsigned(),
        };
        let truth = [History::of(state(CHANGING).await), History::of(state(QUIET).await)];
        let truth = Arc::new(Mutex::new(truth));
        let mut writing = JoinSet::new();
        writing.spawn(keep_writing(database.again().await, Arc::clone(&truth)));
        let chain = Self { database, links, instances, truth, writing, faults: Vec::new() };
        chain.is_current_again().await;
        chain
    }

    /// The process of an instance stands still from here on, until it is let go on.
    pub fn stop(&mut self, hops: usize) {
        let instance = &mut self.instances[hops];
        faults::stop(&[instance.process.child.id().to_string()]);
        instance.stood = Some(Instant::now());
    }

    pub fn let_go_on(&self, hops: usize) {
        self.instances[hops].process.signal("CONT");
    }

    /// Ends an instance, which says nothing to anybody. Who asked it asks no more.
    pub fn kill(&mut self, hops: usize) {
        let instance = &mut self.instances[hops];
        instance.before.push(instance.asking.answers());
        instance.process.signal("KILL");
        instance.process.child.wait().unwrap();
    }

    /// Starts another in its place.
    pub async fn start_again(&mut self, hops: usize) {
        let mut process = start(hops, self.links[hops].port(), &self.database);
        let address = process.address();
        if let Some(link) = self.links.get(hops + 1) {
            link.point_at(address.rsplit(':').next().unwrap().parse().unwrap());
        }
        process::until_serving(&address).await;
        let asking = Asking::start(&address).await;
        (self.instances[hops].process, self.instances[hops].asking) = (process, asking);
    }

    /// From this one down, everything is marked as soon as was promised after something broke.
    pub async fn is_marked_in_time_from(&mut self, hops: usize, broke: Instant) {
        for hops in hops..=FAR {
            let asking = &self.instances[hops].asking;
            let first = async || asking.first(QUIET, broke, Answer::is_marked);
            until_so("it is marked", async || first().await.is_some()).await;
            let took = first().await.unwrap().asked - broke;
            println!("after {hops} hops it is marked within {took:?}");
            assert!(took < oldest(hops) + ASKED_BY_THEN, "after {hops} hops: {took:?}");
        }
        self.was_wrong_since(broke);
    }

    /// Until now something was wrong.
    pub fn was_wrong_since(&mut self, broke: Instant) {
        self.faults.push((broke, Instant::now()));
    }

    /// Waits until more has changed.
    pub async fn changes(&self) {
        let number = self.last();
        until_so("two changes are made", async || self.last() >= number + 2).await;
    }

    /// How many changes have been made.
    fn last(&self) -> usize {
        self.truth.lock().unwrap()[CHANGING as usize].last_such(|_| true).unwrap()
    }

    /// Everybody knows in time what was so at this moment, and nobody marks it.
    pub async fn is_current_again(&self) {
        let since = Instant::now();
        let last = self.last();
        let revision = self.truth.lock().unwrap()[CHANGING as usize].get(last).revision;
        let is_current = |answer: &Answer| answer.is_as_new_as(revision);
        for (hops, instance) in self.instances.iter().enumerate() {
            until_so("it is current", async || {
                instance.asking.first(CHANGING, since, is_current).is_some()
            })
            .await;
            let took = instance.asking.first(CHANGING, since, is_current).unwrap().received - since;
            println!("after {hops} hops it is current within {took:?}");
            assert!(took < RECOVERED, "after {hops} hops: {took:?}");
        }
    }

    /// Everybody says this of a tenant before long, and does not mark it.
    pub async fn is_known_everywhere(&self, tenant: u32, reason: DecisionReason) {
        for instance in &self.instances {
            until_so("it is known", async || {
                instance.asking.ask(tenant).await.is_ok_and(|answer| {
                    answer.reason() == reason && !answer.freshness.unwrap().stale
                })
            })
            .await;
        }
    }

    /// How many answers of an instance there are so far, and how many of them are marked.
    pub fn marked(&self, hops: usize) -> (usize, usize) {
        let answers = self.instances[hops].asking.answers().concat();
        (answers.len(), answers.iter().filter(|answer| answer.is_marked()).count())
    }

    /// All is well again, and was as it had to be all the time.
    pub async fn was_right(mut self) {
        self.is_current_again().await;
        self.writing.shutdown().await;
        for (hops, instance) in self.instances.iter_mut().enumerate() {
            println!("after {hops} hops: {}", instance.process.read_log());
        }
        let truth = self.truth.lock().unwrap();
        for (hops, instance) in self.instances.iter().enumerate() {
            let answers = instance.asking.answers();
            for all in instance.before.iter().chain([&answers]) {
                for (answers, truth) in all.iter().zip(&*truth) {
                    judge(answers, hops, truth, instance.stood);
                }
            }
            let was_there = instance.before.is_empty() && instance.stood.is_none();
            for fault in self.faults.iter().filter(|_| was_there) {
                did_not_wait(&answers[QUIET as usize], hops, *fault);
            }
        }
    }
}

/// Suspends a tenant and lets it in again, over and over.
async fn keep_writing(database: Database, truth: Truth) {
    let place = CHANGING as usize;
    loop {
        let State { reason, revision } = *truth.lock().unwrap()[place].last();
        let (status, reason) = match reason {
            Enabled => ("suspended", TenantSuspended),
            _ => ("active", Enabled),
        };
        truth.lock().unwrap()[place].begin(State { reason, revision: revision + 1 });
        let tenant = database.uuid(&id(CHANGING));
        let change = format!("UPDATE tenants SET status = '{status}' WHERE id = {tenant}");
        // Of one that has no answer nobody knows whether it was made. Made again it changes nothing if it
        // was.
        while let Err(error) = database.try_execute(&change).await {
            println!("the database did not say that it has made a change: {error}");
            tokio::time::sleep(PAUSE).await;
        }
        truth.lock().unwrap()[place].end();
        tokio::time::sleep(PAUSE).await;
    }
}
