//! What the cache loads, and from which database.

use std::future::Future;

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Statement};

use super::{
    Loaded, Read, Store, StoreError, TenantKey, ask::Ask, batch, catalogue, database::Database,
    own_replica::OwnReplica, replica::in_time, tenant,
};
use crate::domain::Catalogue;

/// Which database may be read.
#[derive(Clone, Debug)]
pub enum Source {
    /// The primary; where this server sits on a replica, that.
    Primary,
    /// The primary, for somebody who wants this revision: whoever asks on its behalf, and holds it,
    /// need not ask. Where this server sits on a replica that has this revision, that.
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
    /// and have a revision. Many take several statements: whoever was there before the first and until
    /// after the last is among them. Of others, and of subdomains that are given to another tenant
    /// meanwhile, whoever has followed changes since before is told.
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
        if let Some(own) = &self.own_replica {
            return self.load_on_replica(own, keys, source, now).await;
        }
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
        Ok(Read::answered(self.loaded(rows, keys, now)?, is_from_standby))
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        if let Some(own) = &self.own_replica {
            let known = own.known()?;
            let read = tenant::keys(&known, self.log, &self.context).await?;
            return Ok(read.known_at(known.known_at));
        }
        // Rarely read, so that nothing is gained by preparing it.
        tenant::keys(&self.primary.unprepared(), self.log, &self.context).await
    }

    fn loads_at_once(&self) -> usize {
        self.load_shares().at_once
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        if let Some(own) = &self.own_replica {
            let known = own.known()?;
            let read = catalogue::read(&known, self.log, &self.context, now).await?;
            return Ok(read.known_at(known.known_at));
        }
        self.read_catalogue_of_primary(now).await
    }
}

impl Store {
    /// Reads all modules and plans where they are written, for people who ask why.
    pub async fn catalogue_of_primary(&self, now: DateTime<Utc>) -> Result<Catalogue, StoreError> {
        let read = self.read_catalogue_of_primary(now).await;
        read.map(|read| read.value).map_err(|error| self.naming_primary(error))
    }

    async fn read_catalogue_of_primary(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Read<Catalogue>, StoreError> {
        // Rarely read, too.
        catalogue::read(&self.primary.unprepared(), self.log, &self.context, now).await
    }

    /// What rows say of each key.
    fn loaded(
        &self,
        rows: Vec<QueryResult>,
        keys: &[TenantKey],
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<Loaded, StoreError>>, StoreError> {
        Ok(match keys {
            [key] => vec![
                tenant::reading(&rows, &self.context, now)
                    .map(|reading| Loaded::of(reading, key, now)),
            ],
            _ => batch::loaded(rows, keys, &self.context, now)?,
        })
    }

    /// Reads tenants from the replica that this server sits on; and from the primary, for somebody who
    /// wants a revision that the replica does not have yet.
    async fn load_on_replica(
        &self,
        own: &OwnReplica,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let here = self.load_here(own, keys, now).await;
        let Source::AtLeast(wanted) = source else { return here };
        let has_it = |read: &Read<Vec<Result<Loaded, StoreError>>>| {
            read.value.iter().flatten().all(|loaded| loaded.revision >= wanted)
        };
        match here {
            Ok(read) if has_it(&read) => Ok(read),
            _ => self.load_ahead(keys, now).await.map_err(|error| self.naming_primary(error)),
        }
    }

    async fn load_here(
        &self,
        own: &OwnReplica,
        keys: &[TenantKey],
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let known = own.known()?;
        let rows = known.query(self.statement(&own.database, keys)).await?;
        Ok(Read::proven(self.loaded(rows, keys, now)?).known_at(known.known_at))
    }

    async fn load_ahead(
        &self,
        keys: &[TenantKey],
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let rows = self.primary.query(self.statement(&self.primary, keys)).await?;
        let is_from_standby = tenant::are_from_standby(&rows);
        let read = Read::answered(self.loaded(rows, keys, now)?, is_from_standby);
        Ok(Read { is_ahead: !is_from_standby, ..read })
    }

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
