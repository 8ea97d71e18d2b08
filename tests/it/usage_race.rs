//! Many callers of two servers, whose connections are lost while they commit: whoever is answered
//! was counted, once, and nothing is counted beyond the limit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use entitlementd::proto::v1::ReserveUsageResponse;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    harness::{
        Database, Server,
        commits::{Commits, Fate},
        dice::Dice,
        postgres,
    },
    usage::{Client, client, mk_customer, order},
};

const LIMIT: usize = 1_000;
/// More than may be granted, so that the limit is reached.
const KEYS: usize = 1_600;
const CALLERS: u64 = 64;
/// By each caller: every key is asked for nearly twice.
const ASKED: usize = 45;
/// Nobody is as unlucky as that, if a fifth of the commits is lost.
const TRIES: usize = 100;
const SEED: u64 = 20_261_123;

/// How often each thing befell a commit.
type Befallen = Arc<Mutex<Vec<Fate>>>;

/// About a fifth of the commits is lost, each way in turn.
fn a_fifth_is_lost(befallen: Befallen) -> impl FnMut() -> Fate + Send {
    const WAYS: [Fate; 3] = [Fate::CutBefore, Fate::CutMeanwhile, Fate::CutWhenDone];
    let (mut dice, mut lost) = (Dice::of(SEED, 0), 0);
    move || {
        let fate = if dice.once_in(5) { WAYS[lost % WAYS.len()] } else { Fate::Spared };
        lost += usize::from(fate != Fate::Spared);
        befallen.lock().unwrap().push(fate);
        fate
    }
}

/// Asks with the same key until there is an answer.
async fn ask_until_answered(client: &mut Client, key: &str) -> ReserveUsageResponse {
    for _ in 0..TRIES {
        match client.reserve_usage(order(key, 1)).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => {
                let may_ask_again = [Code::Unavailable, Code::ResourceExhausted];
                assert!(may_ask_again.contains(&status.code()), "{key}: {status:?}");
                // As any caller would, so that the servers get to open connections.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    panic!("{key} was never answered");
}

impl Database {
    /// All keys that are taken for good.
    pub async fn counted_keys(&self) -> BTreeSet<String> {
        let keys = "SELECT string_agg(key, ' ') AS keys FROM entitlement_usage_keys WHERE state = 'counted'";
        let keys: Option<String> = self.one(keys).await.try_get("", "keys").unwrap();
        keys.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }
}

/// What all callers together were told of each key.
#[derive(Default)]
struct Told {
    answers: BTreeMap<String, Vec<ReserveUsageResponse>>,
}

impl Told {
    fn granted(&self) -> BTreeSet<String> {
        let is_granted = |answers: &[ReserveUsageResponse]| answers.iter().any(|it| it.granted);
        let granted = self.answers.iter().filter(|(_, answers)| is_granted(answers));
        granted.map(|(key, _)| key.clone()).collect()
    }

    /// One that is granted is granted to all and new to one of them, who may not have heard of it.
    /// One that is refused is refused to all, as nothing was ever given back.
    fn is_consistent(&self) {
        for (key, answers) in &self.answers {
            let granted = answers.iter().filter(|it| it.granted).count();
            assert!(granted == 0 || granted == answers.len(), "{key}: {answers:?}");
            let new = answers.iter().filter(|it| it.granted && !it.repeated_request).count();
            assert!(new <= 1, "{key} was new {new} times");
        }
    }
}

async fn many_callers(clients: &[Client]) -> Told {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut client = clients[caller as usize % clients.len()].clone();
        callers.spawn(async move {
            let mut dice = Dice::of(SEED, caller + 1);
            let mut told = Vec::with_capacity(ASKED);
            for _ in 0..ASKED {
                let key = format!("o-{}", dice.below(KEYS));
                let answer = ask_until_answered(&mut client, &key).await;
                told.push((key, answer));
            }
            told
        });
    }
    let mut told = Told::default();
    for (key, answer) in callers.join_all().await.into_iter().flatten() {
        told.answers.entry(key).or_default().push(answer);
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_and_no_grant_is_lost_where_a_fifth_of_the_commits_is_cut_off() {
    let database = Database::postgres().await;
    mk_customer(&database).await;
    database.limit_of_plan("starter", "max_transactions_monthly", &LIMIT.to_string()).await;
    let befallen = Befallen::default();
    let way = a_fifth_is_lost(Arc::clone(&befallen));
    let commits = Commits::to(postgres::shared().port(), way).await;
    let flags = ["--changes", "off", "--enforce-limits", "on"];
    let url = commits.url(&database.name);
    let one = Server::start_with(database.by_way_of(url.clone()).await, &flags).await;
    let two = Server::start_with(database.by_way_of(url).await, &flags).await;

    let told = many_callers(&[client(&one).await, client(&two).await]).await;

    let befallen = befallen.lock().unwrap().clone();
    let lost = befallen.iter().filter(|fate| **fate != Fate::Spared).count();
    println!("{lost} of {} commits were lost", befallen.len());
    assert!(lost >= 6, "each way twice at least: {befallen:?}");
    told.is_consistent();
    let granted = told.granted();
    assert!(told.answers.len() > LIMIT, "{} keys: the limit was never met", told.answers.len());
    assert_eq!(granted.len(), LIMIT);
    assert_eq!(database.counted_keys().await, granted);
    database.verify_usage().await;
}
