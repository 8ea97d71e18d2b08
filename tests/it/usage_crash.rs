//! Servers and databases that are killed in the middle of counting: what somebody was told is there
//! afterwards.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tonic::Code;

use crate::{
    harness::{
        Database, Server,
        commits::{Commits, Fate},
        database::wait_until_blocked,
        dice::Dice,
        postgres,
        postgres::Cluster,
        process,
        process::Process,
        until_so,
    },
    usage::{Client, client, mk_customer, order, reserve, started, user},
};

const LIMIT: usize = 400;
/// More than may be granted, so that the limit is reached.
const KEYS: usize = 1_200;
const CALLERS: u64 = 16;
/// Answers before the crash, which comes in the midst of others.
const ANSWERS: usize = 120;
/// By a caller in a round: the crash comes long before.
const MOST_ASKED: usize = 1_000;
/// For this long, what must not come is waited for.
const MOMENT: Duration = Duration::from_millis(300);
const SEED: u64 = 20_261_123;

/// What callers know of their keys.
#[derive(Default)]
struct Known {
    granted: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// There was no answer.
    unknown: BTreeSet<String>,
}

impl Known {
    fn learn(&mut self, key: String, granted: Option<bool>) {
        let place = match granted {
            Some(true) => &mut self.granted,
            Some(false) => &mut self.refused,
            None => &mut self.unknown,
        };
        place.insert(key);
    }

    /// Whoever was told a grant is counted, and nobody is who does not at least not know.
    async fn holds_in(&self, database: &Database) {
        let counted = database.counted_keys().await;
        let lost: Vec<_> = self.granted.difference(&counted).collect();
        assert!(lost.is_empty(), "granted, and not there: {lost:?}");
        for key in counted.difference(&self.granted) {
            assert!(self.unknown.contains(key), "{key} is counted, and nobody was told");
        }
        assert!(counted.len() <= LIMIT, "{}", counted.len());
        assert!(self.refused.is_disjoint(&counted), "nothing was given back");
        database.verify_usage().await;
    }

    /// Asks again where nobody knows, until there is an answer.
    async fn ask_again(&mut self, client: &mut Client) {
        for key in std::mem::take(&mut self.unknown) {
            let mut granted = None;
            until_so("there is an answer", async || {
                let answer = client.reserve_usage(user(&key)).await;
                granted = answer.ok().map(|answer| answer.into_inner().granted);
                granted.is_some()
            })
            .await;
            self.learn(key, granted);
        }
    }
}

/// Callers ask until they hear nothing any more, which is after the crash.
async fn crash_under_load(clients: &[Client], round: u64, known: &mut Known, crash: impl FnOnce()) {
    let has_crashed = Arc::new(AtomicBool::new(false));
    let (sender, mut told) = mpsc::unbounded_channel();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut client = clients[caller as usize % clients.len()].clone();
        let mut dice = Dice::of(SEED + round, caller);
        let (sender, has_crashed) = (sender.clone(), Arc::clone(&has_crashed));
        callers.spawn(async move {
            for _ in 0..MOST_ASKED {
                let key = format!("u-{}", dice.below(KEYS));
                let answer = client.reserve_usage(user(&key)).await;
                let granted = answer.as_ref().ok().map(|answer| answer.get_ref().granted);
                sender.send((key, granted)).unwrap();
                if let Err(status) = answer {
                    assert!(has_crashed.load(Ordering::SeqCst), "{status:?}");
                    return;
                }
            }
            panic!("there was no crash");
        });
    }
    drop(sender);
    let (mut answers, mut crash) = (0, Some(crash));
    while let Some((key, granted)) = told.recv().await {
        known.learn(key, granted);
        answers += 1;
        if let Some(crash) = crash.take_if(|_| answers == ANSWERS) {
            has_crashed.store(true, Ordering::SeqCst);
            crash();
        }
    }
    callers.join_all().await;
}

async fn client_of(address: &str) -> Client {
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap();
    Client::new(channel.connect().await.unwrap())
}

/// Which process is to be killed at the next commit, and what becomes of that.
type Victim = Arc<Mutex<Option<(u32, Fate)>>>;

/// Kills a server whose commit is on its way for a moment, in which it has told nobody.
fn killing_at_a_commit(victim: Victim) -> impl FnMut() -> Fate + Send {
    move || {
        let Some((process, fate)) = victim.lock().unwrap().take() else { return Fate::Spared };
        tokio::task::block_in_place(|| {
            std::thread::sleep(MOMENT);
            let mut kill = Command::new("kill");
            assert!(kill.args(["-KILL", &process.to_string()]).status().unwrap().success());
        });
        fate
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_that_is_killed_has_told_is_there_and_the_rest_is_asked_for_again() {
    let database = Database::postgres().await;
    mk_customer(&database).await;
    database.limit_of_plan("starter", "max_users", &LIMIT.to_string()).await;
    let victim = Victim::default();
    let way = killing_at_a_commit(Arc::clone(&victim));
    let commits = Commits::to(postgres::shared().port(), way).await;
    let url = commits.url(&database.name);
    let mut known = Known::default();
    let fates =
        [Fate::CutBefore, Fate::CutMeanwhile, Fate::CutBefore, Fate::CutWhenDone, Fate::CutBefore];
    for (round, fate) in (0..).zip(fates) {
        let fixed = ["--listen", "127.0.0.1:0", "--changes", "off", "--enforce-limits", "on"];
        let mut server = Process::serve(&[&fixed[..], &["--database-url", &url]].concat());
        let address = server.address();
        process::until_serving(&address).await;
        let clients = [client_of(&address).await, client_of(&address).await];
        known.ask_again(&mut clients[0].clone()).await;
        let id = server.child.id();
        let crash = || *victim.lock().unwrap() = Some((id, fate));
        crash_under_load(&clients, round, &mut known, crash).await;
        // PostgreSQL may be about to do what it was sent.
        until_so("the server's transactions have ended", async || {
            let others = "SELECT count(*) AS others FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
            database.one(others).await.try_get::<i64>("", "others").unwrap() == 0
        })
        .await;
        known.holds_in(&database).await;
    }
    assert!(!known.granted.is_empty() && !known.unknown.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_before_the_database_was_stopped_at_once_is_there_when_it_is_back() {
    let mut cluster = Cluster::start(&[]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let database = Database::on(&cluster, name.clone()).await;
    mk_customer(&database).await;
    database.limit_of_plan("starter", "max_users", &LIMIT.to_string()).await;
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let one = Server::start_with(database.again().await, &flags).await;
    let two = Server::start_with(database.again().await, &flags).await;
    let clients = [client(&one).await, client(&two).await];
    let mut known = Known::default();
    for round in 0..3 {
        crash_under_load(&clients, round, &mut known, || cluster.stop_at_once()).await;
        cluster.restart();
        known.holds_in(&Database::on(&cluster, name.clone()).await).await;
        for client in &clients {
            // Each server finds its way back, also where nobody is left who does not know.
            known.unknown.insert("u-0".to_owned());
            known.ask_again(&mut client.clone()).await;
        }
    }
    known.holds_in(&Database::on(&cluster, name).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_before_the_commit() {
    let (server, mut client) = started(Database::postgres().await, &[]).await;
    let database = server.database.again().await;
    for sql in [
        // What is deferred is done by the commit: everything else has been done before.
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
         'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON entitlement_usage_keys
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
    ] {
        database.execute(sql).await;
    }
    let lock = database.connection.begin().await.unwrap();
    lock.execute_unprepared("SELECT pg_advisory_xact_lock(1)").await.unwrap();
    let mut asking = tokio::spawn({
        let mut client = client.clone();
        async move { client.reserve_usage(order("o-1", 5)).await }
    });
    wait_until_blocked(&lock).await;
    let told = timeout(MOMENT, &mut asking).await;
    assert!(told.is_err(), "it is told before the commit is done: {told:?}");

    lock.execute_unprepared(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND datname = current_database()",
    )
    .await
    .unwrap();
    assert_eq!(asking.await.unwrap().unwrap_err().code(), Code::Unavailable);
    lock.rollback().await.unwrap();
    assert!(database.counted_keys().await.is_empty());
    let again = reserve(&mut client, order("o-1", 5)).await;
    assert_eq!((again.granted, again.repeated_request), (true, false));
}
