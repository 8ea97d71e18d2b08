//! Many callers of two servers, whose connections are lost while they commit: whoever is answered
//! was counted, once, and nothing is counted beyond the limit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use entitlementd::proto::v1::{
    ReleaseUsageRequest, ReleaseUsageResponse, ReserveUsageRequest, ReserveUsageResponse,
};
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};

use crate::{
    harness::{
        Database, Server,
        commits::{Commits, Fate},
        dice::Dice,
        id,
        pooler::Pooler,
        postgres,
    },
    usage::{Client, ORDERS, client, mk_customer, order},
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

/// Asks the same again until there is an answer.
async fn until_answered<T, A>(mut ask: impl FnMut() -> A) -> T
where
    A: Future<Output = Result<Response<T>, Status>>,
{
    for _ in 0..TRIES {
        match ask().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => {
                let may_ask_again = [Code::Unavailable, Code::ResourceExhausted];
                assert!(may_ask_again.contains(&status.code()), "{status:?}");
                // As any caller would, so that the servers get to open connections.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    panic!("{TRIES} times there was no answer");
}

async fn reserve_surely(client: &Client, request: ReserveUsageRequest) -> ReserveUsageResponse {
    until_answered(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.reserve_usage(request).await }
    })
    .await
}

async fn release_surely(client: &Client, key: &str, only_held: bool) -> ReleaseUsageResponse {
    let (tenant_id, meter, key) = (id(1), ORDERS.to_owned(), key.to_owned());
    let request = ReleaseUsageRequest { tenant_id, meter, key, only_held };
    until_answered(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.release_usage(request).await }
    })
    .await
}

/// Two servers, and the way to the database on which they lose their connections.
struct Lossy {
    servers: [Server; 2],
    befallen: Befallen,
    _commits: Commits,
}

impl Lossy {
    /// For a customer with so many orders a month. The database itself refuses a counter beyond that,
    /// whenever it may be.
    async fn start(database: &Database, limit: usize, target: u16, flags: &[&str]) -> Self {
        mk_customer(database).await;
        database.limit_of_plan("starter", "max_transactions_monthly", &limit.to_string()).await;
        let never =
            format!("ALTER TABLE entitlement_usage_counters ADD CHECK (used + held <= {limit})");
        database.execute(&never).await;
        let befallen = Befallen::default();
        let commits = Commits::to(target, a_fifth_is_lost(Arc::clone(&befallen))).await;
        let url = commits.url(&database.name);
        // However busy the machine is, nobody gives up.
        let fixed = ["--changes", "off", "--enforce-limits", "on", "--request-timeout", "30s"];
        let flags = [&fixed, flags].concat();
        let start =
            async || Server::start_with(database.by_way_of(url.clone()).await, &flags).await;
        Self { servers: [start().await, start().await], befallen, _commits: commits }
    }

    async fn clients(&self) -> [Client; 2] {
        [client(&self.servers[0]).await, client(&self.servers[1]).await]
    }

    /// Enough was lost for something to have gone wrong.
    fn was_lossy(&self) {
        let befallen = self.befallen.lock().unwrap();
        let lost = befallen.iter().filter(|fate| **fate != Fate::Spared).count();
        println!("{lost} of {} commits were lost", befallen.len());
        assert!(lost >= 6, "each way twice at least: {befallen:?}");
    }
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
        let client = clients[caller as usize % clients.len()].clone();
        callers.spawn(async move {
            let mut dice = Dice::of(SEED, caller + 1);
            let mut told = Vec::with_capacity(ASKED);
            for _ in 0..ASKED {
                let key = format!("o-{}", dice.below(KEYS));
                let answer = reserve_surely(&client, order(&key, 1)).await;
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
    let lossy = Lossy::start(&database, LIMIT, postgres::shared().port(), &[]).await;
    let told = many_callers(&lossy.clients().await).await;
    lossy.was_lossy();
    told.is_consistent();
    let granted = told.granted();
    assert!(told.answers.len() > LIMIT, "{} keys: the limit was never met", told.answers.len());
    assert_eq!(granted.len(), LIMIT);
    assert_eq!(database.counted_keys().await, granted);
    database.verify_usage().await;
}

/// A limit that is met again and again, as much is given back.
const FEW: usize = 60;
const BUYERS: u64 = 32;
const ORDERS_EACH: usize = 15;

/// Holds an order, and then takes it for good, gives it back, or both. Is it taken in the end? `None`:
/// there was too little left.
async fn buy(client: &Client, dice: &mut Dice, key: &str) -> Option<bool> {
    let amount = 1 + dice.below(3) as i64;
    let hold_for = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let held = ReserveUsageRequest { hold_for, ..order(key, amount) };
    if !reserve_surely(client, held).await.granted {
        return None;
    }
    let (is_confirmed, is_released) = (!dice.once_in(4), dice.once_in(2));
    if is_confirmed {
        let confirmed = reserve_surely(client, order(key, amount)).await;
        assert!(confirmed.granted && confirmed.repeated_request, "{key}: {confirmed:?}");
    }
    if is_confirmed && !is_released {
        let too_late = release_surely(client, key, true).await;
        assert_eq!(too_late.released_amount, 0, "{key} was taken for good");
    } else {
        // Who is answered late may have given it back already.
        let released = release_surely(client, key, !is_confirmed).await.released_amount;
        assert!([0, amount].contains(&released), "{key}: {released}");
    }
    Some(is_confirmed && !is_released)
}

/// Each buyer knows what has become of its own orders, whoever else counts meanwhile.
async fn buyers_know(lossy: &Lossy, database: &Database) {
    let clients = lossy.clients().await;
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let client = clients[buyer as usize % clients.len()].clone();
        buyers.spawn(async move {
            let mut dice = Dice::of(SEED, buyer + 1);
            let mut bought = Vec::new();
            for number in 0..ORDERS_EACH {
                let key = format!("o-{buyer}-{number}");
                let taken = buy(&client, &mut dice, &key).await;
                bought.push((key, taken));
            }
            bought
        });
    }
    let bought: Vec<_> = buyers.join_all().await.into_iter().flatten().collect();
    lossy.was_lossy();
    assert!(bought.iter().any(|(_, taken)| taken.is_none()), "the limit was never met");
    let taken = bought.into_iter().filter(|(_, taken)| *taken == Some(true));
    assert_eq!(database.counted_keys().await, taken.map(|(key, _)| key).collect());
    let held = "SELECT CAST(sum(held) AS bigint) AS held FROM entitlement_usage_counters";
    assert_eq!(database.one(held).await.try_get::<i64>("", "held").unwrap(), 0);
    database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_taken_and_given_back_is_so_where_a_fifth_of_the_commits_is_cut_off() {
    let database = Database::postgres().await;
    let lossy = Lossy::start(&database, FEW, postgres::shared().port(), &[]).await;
    buyers_know(&lossy, &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_behind_a_pooler() {
    let database = Database::postgres().await;
    let pooler = Pooler::to(postgres::shared().port(), &["default_pool_size = 4"]);
    let flags = ["--database-pooler", "transaction"];
    let lossy = Lossy::start(&database, FEW, pooler.port(), &flags).await;
    buyers_know(&lossy, &database).await;
}
