//! The database is away for an hour, by the clock of everybody, and all are started again meanwhile:
//! a core, an edge of it, and an edge of that.

use std::path::PathBuf;

use chrono::TimeDelta;
use entitlementd::{clock::ManualClock, proto::v1::DecisionReason};
use tempfile::TempDir;

use crate::{
    harness::{Database, NOW, Row, Server, postgres, proxy::Proxy, until_so},
    metrics::SHOWN,
    state::tenants_in,
};

const CORE: usize = 0;
const NEAR: usize = 1;
const FAR: usize = 2;
const ALL: [usize; 3] = [CORE, NEAR, FAR];

/// The instances, each with the way up and a directory for its state.
struct Chain {
    database: Database,
    clock: ManualClock,
    ways: [Proxy; 3],
    folder: TempDir,
    running: [Option<Server>; 3],
}

impl Chain {
    /// Two tenants may use finance, and the third is suspended; everybody knows them, and has kept that.
    async fn start() -> Self {
        let database = Database::postgres().await;
        for tenant in 1..=3 {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        database.set_status(3, "suspended").await;
        let upwards = Proxy::to(postgres::shared().port()).await;
        // Where the others listen is known once they do.
        let ways = [upwards, Proxy::to(1).await, Proxy::to(1).await];
        let (clock, folder) = (ManualClock::at(NOW), tempfile::tempdir().unwrap());
        let mut chain = Self { database, clock, ways, folder, running: [None, None, None] };
        for one in ALL {
            chain.start_one(one).await;
        }
        for one in ALL {
            until_so("all are kept", async || {
                let kept = tenants_in(&chain.directory(one).join("held.state"));
                kept.is_some_and(|kept| kept.len() == 3 && kept.iter().all(|(_, old)| !old))
            })
            .await;
        }
        chain
    }

    fn directory(&self, one: usize) -> PathBuf {
        self.folder.path().join(one.to_string())
    }

    async fn start_one(&mut self, one: usize) {
        let directory = self.directory(one);
        let flags = [&SHOWN[..], &["--state-dir", directory.to_str().unwrap()]].concat();
        let clock = self.clock.clone();
        let server = if one == CORE {
            let database = self.database.behind(&self.ways[CORE]).await;
            Server::start_unready_by(clock, database, &flags).await
        } else {
            let (database, way) = (self.database.again().await, [self.ways[one].port()]);
            let flags = [&flags[..], &["--hold", "all"]].concat();
            Server::start_edge(database, clock, &way, &flags).await
        };
        if let Some(way) = self.ways.get(one + 1) {
            way.point_at(server.port());
        }
        self.running[one] = Some(server);
    }

    async fn end(&mut self, one: usize) {
        self.running[one].take().unwrap().running.stop().await.unwrap();
    }

    async fn restart(&mut self, one: usize) {
        self.end(one).await;
        self.start_one(one).await;
    }

    fn at(&mut self, one: usize) -> &mut Server {
        self.running[one].as_mut().unwrap()
    }

    fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// This one answers whom it knew, marked, and nobody else.
    async fn answers_marked(&mut self, one: usize) {
        let server = self.at(one);
        server.wait_until_ready().await;
        server.is_granted_marked(1).await;
        server.is_granted_marked(2).await;
        let found = server.reason_and_mark(3).await;
        assert_eq!(found, (DecisionReason::TenantSuspended, true));
        server.is_unavailable(4).await;
    }

    async fn all_answer_marked(&mut self) {
        for one in ALL {
            self.answers_marked(one).await;
        }
    }

    async fn nobody_answers(&mut self) {
        for one in ALL {
            for tenant in 1..=4 {
                self.at(one).is_unavailable(tenant).await;
            }
            self.at(one).until_readyz(503, "unready: ").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_two_hops_and_all_restarts_whoever_was_known_is_answered_marked_until_max_stale() {
    let mut chain = Chain::start().await;
    chain.ways[CORE].black_hole();
    for one in ALL {
        chain.at(one).until_marked(1).await;
    }
    chain.database.set_status(2, "suspended").await;
    // Downwards, upwards, and those below while nobody above them is there.
    for order in [[CORE, NEAR, FAR], [FAR, NEAR, CORE]] {
        for one in order {
            chain.advance(TimeDelta::minutes(6));
            chain.restart(one).await;
            chain.all_answer_marked().await;
        }
    }
    for one in ALL {
        chain.end(one).await;
    }
    for one in [FAR, NEAR, CORE] {
        chain.advance(TimeDelta::minutes(6));
        chain.start_one(one).await;
        chain.answers_marked(one).await;
    }
    chain.advance(TimeDelta::seconds(359));
    chain.all_answer_marked().await;

    chain.advance(TimeDelta::seconds(1));
    chain.nobody_answers().await;
    for one in ALL {
        chain.restart(one).await;
    }
    chain.nobody_answers().await;

    chain.ways[CORE].let_through();
    for one in ALL {
        let server = chain.at(one);
        server.wait_until_ready().await;
        server.until_unmarked(1).await;
        server.is_granted_unmarked(1).await;
        server.until_suspended(2).await;
        server.until_suspended(3).await;
        server.until_readyz(200, "ready").await;
    }
}
