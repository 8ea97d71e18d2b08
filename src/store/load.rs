//! What the cache loads, and from which database.

use std::future::Future;

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Statement};

use super::{
    Loaded, Read, Store, StoreError, TenantKey, ask::Ask, batch, catalogue, database::Database,
    replica::in_time, tenant,
};
use crate::domain::Catalogue;

/// Which database may be read.
#[derive(Clone, Debug)]
pub enum Source {
    /// The primary.
    Primary,
    /// The primary, for somebody who wants this revision: whoever asks on its behalf, and holds it,
    /// need not ask.
    AtLeast(u64),
    /// A replica too, if it holds every change up to this one, in the cache's numbering.
    AnyThatHolds(u64),
}

/// Where the cache loads from; the one seam for a fake database in tests.
pub trait LoadTenant: Send + Sync + 'static {
    /// Reads the facts of tenants in one statement, and returns them in the order of the keys,
    /// which must all be different. `now` is the instant before the statement is sent. An
    /// unreadable row concerns only its own tenant.
    fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError>> + Send;

    /// Reads the keys of all tenants, by id and by subdomain, and the ids of those that were deleted
    /// and have a revision.
    fn load_keys(&self) -> impl Future<Output = Result<Read<Vec<TenantKey>>, StoreError>> + Send;

    /// How many loads of tenants may run at the same time at present. Those that wait for their turn
    /// are read together.
    fn loads_at_once(&self) -> usize {
        usize::MAX
    }

    /// Reads all modules and plans. `now` is the instant before the first statement is sent.
    fn load_catalogue(
        &self,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Read<Catalogue>, StoreError>> + Send;
}

impl LoadTenant for Store {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let from_replica = match source {
            Source::Primary | Source::AtLeast(_) => None,
            Source::AnyThatHolds(changes) => self.read_from_replica(keys, changes).await,
        };
        let (rows, is_from_standby) = match from_replica {
            Some(rows) => (rows, false),
            None => {
                let rows = self.primary.query(self.statement(&self.primary, keys)).await?;
                let is_from_standby = tenant::are_from_standby(&rows);
                (rows, is_from_standby)
            }
        };
        let value = match keys {
            [key] => vec![
                tenant::reading(&rows, &self.context, now)
                    .map(|reading| Loaded::of(reading, key, now)),
            ],
            _ => batch::loaded(rows, keys, &self.context, now)?,
        };
        Ok(Read { value, is_from_standby })
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        // Rarely read, so that nothing is gained by preparing it.
        tenant::keys(&self.primary.unprepared(), self.log).await
    }

    fn loads_at_once(&self) -> usize {
        self.load_shares().at_once
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        // Rarely read, too.
        catalogue::read(&self.primary.unprepared(), self.log, &self.context, now).await
    }
}

impl Store {
    /// Reads tenants from a replica that holds these changes; `None` if there is none, or the
    /// replica turned out not to hold them.
    async fn read_from_replica(
        &self,
        keys: &[TenantKey],
        changes: u64,
    ) -> Option<Vec<QueryResult>> {
        let (replica, held) = self.replicas.one_that_holds(changes)?;
        match in_time(replica.read(&held, |database| self.statement(database, keys))).await {
            Ok(Some(rows)) => return Some(rows),
            Ok(None) => _ = replica.distrust(),
            Err(error) => {
                if replica.distrust() {
                    tracing::warn!(%error, "a replica failed; the primary is asked instead: {error}");
                }
            }
        }
        None
    }

    fn statement(&self, database: &Database, keys: &[TenantKey]) -> Statement {
        match keys {
            [key] => self.tenants.of(database.dialect(), key),
            _ => self.batches.of(database.dialect(), keys),
        }
    }
}
