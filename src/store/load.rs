//! What the cache loads, and from which database.

use std::future::Future;

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;

use super::{
    Loaded, Store, StoreError, TenantKey, batch, catalogue,
    replica::{Replica, in_time},
    tenant,
};
use crate::domain::Catalogue;

/// Which database may be read.
#[derive(Clone, Debug)]
pub enum Source {
    /// The primary.
    Primary,
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
    ) -> impl Future<Output = Result<Vec<Result<Loaded, StoreError>>, StoreError>> + Send;

    /// Reads the keys of all tenants, by id and by subdomain, and the ids of those that were deleted
    /// and have a revision.
    fn load_keys(&self) -> impl Future<Output = Result<Vec<TenantKey>, StoreError>> + Send;

    /// How many loads of tenants may run at the same time at present. Those that wait for their turn
    /// are read together.
    fn loads_at_once(&self) -> usize {
        usize::MAX
    }

    /// Reads all modules and plans. `now` is the instant before the first statement is sent.
    fn load_catalogue(
        &self,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Catalogue, StoreError>> + Send;
}

impl LoadTenant for Store {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<Loaded, StoreError>>, StoreError> {
        let from_replica = match (keys, source) {
            // The statement for one subdomain is only prepared for the primary.
            ([TenantKey::Subdomain(_)], _) | (_, Source::Primary) => None,
            (_, Source::AnyThatHolds(changes)) => self.read_from_replica(keys, changes).await,
        };
        let rows = match (from_replica, keys) {
            (Some(rows), _) => rows,
            (None, [key]) => self.tenants.read(&self.primary, key).await?,
            (None, _) => self.batches.read(&self.primary, keys).await?,
        };
        let [key] = keys else { return batch::loaded(rows, keys, &self.context, now) };
        Ok(vec![tenant::reading(&rows, &self.context, now).map(|reading| Loaded::of(reading, key))])
    }

    async fn load_keys(&self) -> Result<Vec<TenantKey>, StoreError> {
        tenant::keys(&self.primary, self.log).await
    }

    fn loads_at_once(&self) -> usize {
        self.load_shares().at_once
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Catalogue, StoreError> {
        // Rarely read, so that nothing is gained by preparing it.
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
        let Replica { database, .. } = replica;
        let read = async {
            match keys {
                [TenantKey::Id(id)] => {
                    self.tenants.read_from_replica(database, *id, &held.lsn).await
                }
                _ => self.batches.read_from_replica(database, keys, &held.lsn).await,
            }
        };
        match in_time(read).await {
            Ok(rows) if tenant::holds(&rows) => return Some(rows),
            Ok(_) => _ = replica.distrust(),
            Err(error) => {
                if replica.distrust() {
                    tracing::warn!(%error, "a replica failed; the primary is asked instead: {error}");
                }
            }
        }
        None
    }
}
