//! The database: rows to domain, one statement per snapshot.
//!
//! No row leaves the store, absence is `Ok(None)`, and a row that cannot be read names its table, column and key.

mod catalogue;
mod connect;
mod demo;
mod entity;
mod error;
mod instant;
mod row;
mod schema;
mod tenant;
mod words;

use std::future::Future;

use chrono::{DateTime, Utc};
use sea_orm::DatabaseConnection;

pub use self::{
    connect::{ConnectError, ConnectOptions, Durations},
    error::StoreError,
    schema::{SchemaReport, SchemaState},
    tenant::{Evidence, SubscriptionEvidence, TenantEvidence},
};
use self::{tenant::TenantStatements, words::Words};
use crate::domain::{Catalogue, Facts, Label, TenantId};

/// What names a tenant in the database.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum TenantKey {
    /// `tenants.id`.
    Id(TenantId),
    /// `tenants.subdomain`, exactly.
    Subdomain(Label),
}

/// Where the cache loads from; the one seam for a fake database in tests.
pub trait LoadTenant: Send + Sync + 'static {
    /// Reads the facts of one tenant in one statement. `now` is the instant before it is sent.
    fn load_tenant(
        &self,
        key: &TenantKey,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Option<Facts>, StoreError>> + Send;

    /// Reads the keys of all tenants, by id and by subdomain, in one statement.
    fn load_keys(&self) -> impl Future<Output = Result<Vec<TenantKey>, StoreError>> + Send;

    /// Reads all modules and plans. `now` is the instant before the first statement is sent.
    fn load_catalogue(&self, now: DateTime<Utc>) -> impl Future<Output = Result<Catalogue, StoreError>> + Send;
}

/// A database that holds the ERP's public schema.
#[derive(Debug)]
pub struct Store {
    db: DatabaseConnection,
    tenants: TenantStatements,
    words: Words,
}

impl Store {
    /// Prepares a pool. Connects only when something is asked, so that a database that is down stops nobody from
    /// starting.
    pub async fn open(options: &ConnectOptions<'_>) -> Result<Self, ConnectError> {
        let db = connect::open(options).await?;
        let tenants = TenantStatements::new(db.get_database_backend());
        Ok(Self { db, tenants, words: Words::default() })
    }

    /// Closes every connection, once those in use have come back.
    pub async fn close(&self) {
        if let Err(error) = self.db.clone().close().await {
            tracing::warn!(%error, "the database pool did not close cleanly");
        }
    }

    /// Reads a tenant's rows word for word, for people who ask why.
    pub async fn evidence(&self, key: &TenantKey, now: DateTime<Utc>) -> Result<Option<Evidence>, StoreError> {
        let rows = self.tenants.read(&self.db, key).await?;
        tenant::evidence(&rows, &self.words, now)
    }
}

impl LoadTenant for Store {
    async fn load_tenant(&self, key: &TenantKey, now: DateTime<Utc>) -> Result<Option<Facts>, StoreError> {
        Ok(self.evidence(key, now).await?.map(|evidence| evidence.facts))
    }

    async fn load_keys(&self) -> Result<Vec<TenantKey>, StoreError> {
        tenant::keys(&self.db).await
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Catalogue, StoreError> {
        catalogue::read(&self.db, &self.words, now).await
    }
}
