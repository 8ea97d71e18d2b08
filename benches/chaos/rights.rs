//! Rights that come and go, and since when.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::sleep;

use crate::common::id;

pub struct Rights {
    connection: tokio::sync::Mutex<PgConnection>,
    /// Of the tenants whose right comes and goes: whether they have it, and since when.
    states: Mutex<Vec<(bool, Instant)>>,
}

impl Rights {
    pub async fn new(url: &str, flipping: u32) -> Self {
        let connection = PgConnection::connect(url).await.unwrap().into();
        let states = vec![(true, Instant::now()); flipping as usize].into();
        Self { connection, states }
    }

    /// Does a tenant have it, and since when? `None`: it always has.
    pub fn of(&self, tenant: u32) -> Option<(bool, Instant)> {
        self.states.lock().unwrap().get(tenant as usize).copied()
    }

    /// A right comes or goes every half second.
    pub async fn flip_until(self: Arc<Self>, end: Instant) {
        while Instant::now() < end {
            let count = self.states.lock().unwrap().len();
            let tenant = fastrand::usize(..count);
            let has = !self.of(tenant as u32).unwrap().0;
            self.set(tenant as u32, has).await;
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn set(&self, tenant: u32, has: bool) {
        let status = if has { "active" } else { "suspended" };
        let sql = format!(
            "UPDATE tenant_subscriptions SET status = '{status}' WHERE tenant_id = '{}'",
            id(tenant)
        );
        let mut connection = self.connection.lock().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
        self.states.lock().unwrap()[tenant as usize] = (has, Instant::now());
    }
}
