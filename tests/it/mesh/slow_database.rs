//! What a client of Envoy gets where the database takes its time: the answer of the server that was
//! asked, and of no other.

use sea_orm::DatabaseTransaction;

use super::instances::{Instance, envoy_before};
use crate::harness::{
    Database, Row,
    database::lock_tenants,
    http::Reply,
    id,
    mesh::{Shipped, Upstream, send_to},
    until_so,
};

/// As many instances as Kubernetes' manifests run: a question that each of them in turn takes long
/// to answer must not go through all of them.
const INSTANCES: usize = 3;
/// A tenant whom no instance holds.
const COLD: u32 = 2;

/// Instances whose database reads no tenant, and an Envoy that asks them.
struct World {
    instances: [Instance; INSTANCES],
    envoy: Shipped,
    database: Database,
    _upstream: Upstream,
}

impl World {
    async fn start() -> (Self, DatabaseTransaction) {
        let database = Database::postgres().await;
        for tenant in [1, COLD] {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        let instances = Instance::start_all(&database.url).await;
        let upstream = Upstream::start().await;
        let envoy = envoy_before(&instances, upstream.port).await;
        let lock = lock_tenants(&database).await;
        (Self { instances, envoy, database, _upstream: upstream }, lock)
    }

    async fn ask(&self) -> Reply {
        send_to(self.envoy.address, "GET", "/any", &[("x-tenant-id", &id(COLD))]).await
    }

    /// What a metric shows, by instance.
    async fn metric(&self, name: &str) -> [f64; INSTANCES] {
        let mut shown = [0.; INSTANCES];
        for (shown, instance) in shown.iter_mut().zip(&self.instances) {
            *shown = instance.metrics().await.of(name);
        }
        shown
    }

    /// How many instances have read a tenant since there were so many statements.
    async fn have_read_since(&self, before: [f64; INSTANCES]) -> usize {
        let after = self.metric("cache_load_statements_total").await;
        before.iter().zip(&after).filter(|(before, after)| before != after).count()
    }
}

fn is_told_by_the_server(reply: &Reply) {
    assert_eq!((reply.status, &*reply.reason()), (503, "STORE_UNAVAILABLE"), "{reply:?}");
    assert!(reply.head.contains("\r\nretry-after: 1"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_told_of_by_the_one_server_that_sent_it() {
    let (world, _lock) = World::start().await;
    let before = world.metric("cache_load_statements_total").await;
    let reply = world.ask().await;
    is_told_by_the_server(&reply);
    assert_eq!(world.have_read_since(before).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_long_is_sent_once_and_its_answer_is_the_clients() {
    let (world, lock) = World::start().await;
    let before = world.metric("cache_load_statements_total").await;
    let failed = world.metric("cache_load_errors_total").await;
    // Shorter than the server waits for it, and longer than Envoy takes to find out that an instance
    // hangs.
    const LONG: &str = "1300 ms";
    let answers = async {
        until_so("the statement has waited", async || {
            let waiting = format!(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '{LONG}')"
            );
            world.database.one(&waiting).await.try_get_by_index::<bool>(0).unwrap()
        })
        .await;
        lock.rollback().await.unwrap();
    };
    let (reply, ()) = tokio::join!(world.ask(), answers);
    // On a machine that stood still meanwhile, it has given it up.
    if world.metric("cache_load_errors_total").await == failed {
        assert_eq!(reply.status, 200, "{reply:?}");
    } else {
        is_told_by_the_server(&reply);
    }
    assert_eq!(world.have_read_since(before).await, 1);
}
