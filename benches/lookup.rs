//! What a decision costs inside the process: the look-up of a tenant, in the map that we chose and
//! in others, and the decision itself. Also what a tenant takes up, and that nothing is allocated
//! on the way to a grant.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;

use std::{
    alloc::System,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use common::{MODULES, quartiles};
use entitlementd::{
    cache::{AfterChange, Cache, CacheSettings},
    domain::{
        Catalogue, Facts, ModuleCode, Subscription, SubscriptionStatus, Tenant, TenantId,
        TenantStatus, check_facts,
    },
    store::{LoadTenant, Loaded, Read, Source, StoreError, TenantKey},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Handle};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TENANTS: usize = 100_000;
const HOT: usize = 100;
const LOOKUPS: usize = 2_000_000;
const ROUNDS: usize = 9;
const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_435_200, 0).unwrap();

/// A tenant's facts may take up so many bytes.
const MOST_FACTS: f64 = 730.0;
/// And so many with all that is held of it: its places in the map, in the ring and in the index of
/// subdomains.
const MOST_HELD: f64 = 870.0;

/// Makes every tenant up, with ten subscriptions, and words that are shared as the store shares
/// them.
struct Invented {
    codes: Vec<ModuleCode>,
    slug: Arc<str>,
}

impl Invented {
    fn facts(&self, id: TenantId, now: DateTime<Utc>) -> Facts {
        let number = id.uuid().as_u64_pair().1 & 0xffff_ffff;
        let tenant = Tenant {
            id,
            name: format!("Tenant number {number}").into(),
            subdomain: format!("tenant-{number}").into(),
            database_schema: format!("tenant_tenant-{number}").into(),
            status: TenantStatus::Active,
            plan_slug: Some(Arc::clone(&self.slug)),
            own: None,
        };
        let row = |module: &ModuleCode| Subscription {
            id: Uuid::new_v4(),
            module: module.clone(),
            status: SubscriptionStatus::Active,
            starts_at: Some(now - TimeDelta::days(30)),
            expires_at: Some(now + TimeDelta::days(30)),
            is_trial: false,
            trial_ends_at: None,
        };
        Facts::new(tenant, self.codes.iter().map(row).collect(), 0, now)
    }
}

impl LoadTenant for Invented {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        _: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let load = |key: &TenantKey| match key {
            TenantKey::Id(id) => Ok(Loaded::read(0, Some(self.facts(*id, now)), now)),
            TenantKey::Subdomain(_) => Ok(Loaded::read(0, None, now)),
        };
        Ok(Read::proven(keys.iter().map(load).collect()))
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        Ok(Read::proven(vec![]))
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        Ok(Read::proven(Catalogue::new(vec![], vec![], 0, now)))
    }
}

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!("machine: {}", common::machine());
    let ids: Vec<TenantId> =
        (0..TENANTS).map(|number| TenantId::parse(&common::id(number as u32)).unwrap()).collect();
    let cache = runtime.block_on(fill(&ids));
    let facts = |id: &TenantId| match cache.held(*id, NOW) {
        Some(known) => Arc::new(known.facts.unwrap()),
        _ => panic!("not held"),
    };

    let moka = moka::sync::Cache::builder()
        .max_capacity(2 * TENANTS as u64)
        .time_to_live(Duration::from_secs(300))
        .build();
    let quick_cache = quick_cache::sync::Cache::new(2 * TENANTS);
    let papaya = papaya::HashMap::builder().hasher(rustc_hash::FxBuildHasher).build();
    for id in &ids {
        moka.insert(*id, facts(id));
        papaya.pin().insert(*id, facts(id));
        quick_cache.insert(*id, facts(id));
    }

    // In random order, made before the clock runs.
    let questions = |tenants: usize| -> Vec<(TenantId, &str)> {
        let mut random = 88_172_645_463_325_252_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize
        };
        (0..LOOKUPS).map(|_| (ids[next() % tenants], MODULES[next() % MODULES.len()])).collect()
    };
    println!(
        "nanoseconds a look-up and decision, {LOOKUPS} of them, {ROUNDS} rounds: median (quartiles)\n"
    );
    println!("{:<44}{:>26}{:>26}", "", format!("{HOT} hot"), format!("{TENANTS} at random"));
    let (hot, random) = (questions(HOT), questions(TENANTS));
    let row = |name: &str, decide: &dyn Fn(TenantId, &str) -> bool| {
        println!("{name:<44}{:>26}{:>26}", measure(&hot, decide), measure(&random, decide));
    };
    let allowed = |facts: &Facts, module: &str| {
        check_facts(Some(facts), module, NOW).is_some_and(|decision| decision.allowed())
    };
    row("entitlementd", &|id, module| {
        cache.peek(id, NOW, |facts| Some(allowed(facts, module))).unwrap()
    });
    row("quick_cache", &|id, module| {
        quick_cache.get(&id).is_some_and(|facts| allowed(&facts, module))
    });
    row("moka, with a time to live", &|id, module| {
        moka.get(&id).is_some_and(|facts| allowed(&facts, module))
    });
    row("papaya, without bounds", &|id, module| {
        papaya.pin().get(&id).is_some_and(|facts| allowed(facts, module))
    });
    let one = facts(&ids[0]);
    row("the decision alone", &|_, module| allowed(&one, module));
    let text = common::id(7);
    row("parsing an id and a code, before the look-up", &|_, module| {
        TenantId::parse(black_box(&text)).is_ok() && ModuleCode::validate(module).is_ok()
    });
    row("reading the clock", &|_, _| {
        entitlementd::clock::Clock::System.now() > NOW - TimeDelta::days(9999)
    });

    let region = Region::new(ALLOCATOR);
    for (id, module) in random.iter().take(100_000) {
        assert!(cache.peek(*id, NOW, |facts| Some(allowed(facts, module))).unwrap());
    }
    println!("\nallocations of 100 000 grants: {}", region.change().allocations);
}

async fn fill(ids: &[TenantId]) -> Cache<Invented> {
    let settings = CacheSettings {
        ttl: TimeDelta::seconds(300),
        negative_ttl: TimeDelta::seconds(10),
        max_stale: TimeDelta::hours(1),
        capacity: TENANTS,
        max_loads: 8,
        max_bypass_reads: 4,
        after_change: AfterChange::Reload,
        load_timeout: Duration::from_secs(5),
    };
    let invented =
        Invented { codes: MODULES.map(ModuleCode::new).to_vec(), slug: "enterprise".into() };
    let region = Region::new(ALLOCATOR);
    let facts: Vec<Facts> = ids.iter().map(|id| invented.facts(*id, NOW)).collect();
    bound("facts", common::bytes_held(region.change()), MOST_FACTS);
    drop(facts);
    let region = Region::new(ALLOCATOR);
    let cache = Cache::new(Arc::new(invented), settings, Handle::current());
    for id in ids {
        cache.get(*id, NOW).await.unwrap();
    }
    assert!(ids.iter().all(|id| cache.held(*id, NOW).is_some()), "a tenant was evicted");
    bound("all that is held", common::bytes_held(region.change()), MOST_HELD);
    cache
}

fn bound(what: &str, taken: f64, most: f64) {
    let each = taken / TENANTS as f64;
    println!(
        "bytes a tenant with ten subscriptions, of {TENANTS}, {what}: {each:.0} of at most {most:.0}"
    );
    assert!(each <= most);
}

fn measure(questions: &[(TenantId, &str)], decide: &dyn Fn(TenantId, &str) -> bool) -> String {
    let round = |_| {
        let started = Instant::now();
        let allowed = questions.iter().filter(|(id, module)| decide(*id, module)).count();
        let elapsed = started.elapsed();
        assert_eq!(black_box(allowed), questions.len());
        elapsed.as_nanos() as f64 / questions.len() as f64
    };
    let [low, median, high] = quartiles(&(0..ROUNDS).map(round).collect::<Vec<_>>());
    format!("{median:.0} ({low:.0} to {high:.0})")
}
