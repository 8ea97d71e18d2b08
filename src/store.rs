//! The database: rows to domain, one statement per snapshot.
//!
//! No row leaves the store, absence is `Ok(None)`, and a row that cannot be read names its table, column and key.

mod ask;
mod batch;
mod catalogue;
mod changes;
mod connect;
mod database;
mod delete;
mod demo;
mod dialect;
mod differences;
mod entitlements;
mod entity;
mod error;
mod instant;
mod list;
mod loan;
mod mutate;
mod offer_json;
mod offers;
mod onboard;
mod ownership;
mod provision;
mod record;
mod replica;
mod request_json;
mod row;
mod schema;
mod subdomain;
mod tenant;
mod tenants;
mod transaction;
mod upsert;
mod words;

use std::future::Future;

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use sqlx::postgres::PgConnectOptions;

pub use entitlementd_migration::ChangeLog;

use self::{
    ask::Ask,
    batch::BatchStatements,
    database::Database,
    loan::Doubt,
    replica::{Replica, Replicas, in_time},
    tenant::TenantStatements,
    words::Words,
};
pub use self::{
    changes::{Change, Listener, News, Poll, Position},
    connect::{ConnectError, ConnectOptions, Durations, Pooler},
    delete::Deletion,
    error::StoreError,
    list::{ListOfTenants, ListedTenant, TenantFilter},
    mutate::{Mutated, MutationError},
    offer_json::{module_to_json, plan_to_json},
    onboard::Newcomer,
    provision::Provisioned,
    record::{AuditEvent, AuditQuery, summary_to_json},
    schema::{SchemaReport, SchemaState},
    tenant::{Evidence, Reading, SubscriptionEvidence, TenantEvidence},
    tenants::PageOfTenants,
};
use crate::domain::{
    Catalogue, Facts, Label, ModuleOffer, PlanOffer, Subdomain, SubdomainRefusal, TenantId, TenantStatus,
    TenantTemplate,
};

/// Connections for watching: one, and another while it does not come back.
const MAX_WATCHING: u32 = 2;

/// What names a tenant in the database.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum TenantKey {
    /// `tenants.id`.
    Id(TenantId),
    /// `tenants.subdomain`, exactly.
    Subdomain(Label),
}

impl TenantKey {
    /// Reads a tenant as people name it: a UUID in 36-character form, or a subdomain. `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let by_id = TenantId::parse(text).ok().map(Self::Id);
        by_id.or_else(|| Label::parse(text).map(Self::Subdomain))
    }
}

/// What one load has found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The tenant's revision, be it that it was deleted; 0 while changes are not counted.
    pub revision: u64,
    /// Its facts, if it exists.
    pub facts: Option<Facts>,
}

impl Loaded {
    /// What was read of the tenant of this key. Of a subdomain that no tenant has there is no revision.
    fn of(Reading { revision, evidence }: Reading, key: &TenantKey) -> Self {
        let facts = evidence.map(|evidence| evidence.facts);
        let is_nobody = facts.is_none() && matches!(key, TenantKey::Subdomain(_));
        Self { revision: if is_nobody { 0 } else { revision }, facts }
    }
}

/// Which database will do.
#[derive(Clone, Debug)]
pub enum Source {
    /// The primary.
    Primary,
    /// A replica too, if it holds every change up to this one, as the cache has numbered them.
    AnyThatHolds(u64),
}

/// Where the cache loads from; the one seam for a fake database in tests.
pub trait LoadTenant: Send + Sync + 'static {
    /// Reads the facts of tenants in one statement, and gives what was found in the order of the keys, of which no two are
    /// the same. `now` is the instant before it is sent. A row that cannot be read concerns its own tenant only.
    fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<Result<Loaded, StoreError>>, StoreError>> + Send;

    /// Reads the keys of all tenants, by id and by subdomain, in one statement.
    fn load_keys(&self) -> impl Future<Output = Result<Vec<TenantKey>, StoreError>> + Send;

    /// Reads all modules and plans. `now` is the instant before the first statement is sent.
    fn load_catalogue(&self, now: DateTime<Utc>) -> impl Future<Output = Result<Catalogue, StoreError>> + Send;
}

/// A database that holds the ERP's public schema.
#[derive(Debug)]
pub struct Store {
    primary: Database,
    /// The same, for those who must be heard although loads have taken all connections: the feed, and who asks after
    /// the replicas.
    watched: Database,
    /// The same, for what administrators change: a transaction that waits must not take a connection from loads.
    writing: Database,
    doubt: Doubt,
    replicas: Replicas,
    /// How to open a connection to listen on; `None` where there is none to be had.
    listen_options: Option<PgConnectOptions>,
    log: ChangeLog,
    tenants: TenantStatements,
    batches: BatchStatements,
    words: Words,
    /// What tenants' schemas hold; `None`: the operator has no template.
    template: Option<TenantTemplate>,
}

impl Store {
    /// Prepares a pool. Connects only when something is asked, so that a database that is down stops nobody from
    /// starting.
    pub async fn open(options: &ConnectOptions<'_>, log: ChangeLog) -> Result<Self, ConnectError> {
        let doubt = Doubt::default();
        let primary = connect::open(options, &doubt).await?;
        let [watched, writing] = if primary.dialect().has_concurrent_writers() {
            [
                connect::open(&ConnectOptions { max_connections: MOST_WATCHING, ..*options }, &doubt).await?,
                connect::open_to_write(options, &doubt).await?,
            ]
        } else {
            // A file is never crowded, and one in memory is there only once.
            [primary.clone(), primary.clone()]
        };
        let tenants = TenantStatements::new(primary.dialect(), log);
        let batches = BatchStatements::new(primary.dialect(), log);
        let listen_options = connect::listen_options(options, &primary)?;
        let replicas = Replicas::default();
        let words = Words::default();
        Ok(Self {
            primary,
            watched,
            writing,
            doubt,
            replicas,
            listen_options,
            log,
            tenants,
            batches,
            words,
            template: None,
        })
    }

    /// Adds replicas, from which loads are read where that is as good as from the primary.
    pub async fn with_replicas(self, options: &[ConnectOptions<'_>]) -> Result<Self, ConnectError> {
        let mut databases = Vec::with_capacity(options.len());
        for options in options {
            databases.push(connect::open(options, &Doubt::default()).await?);
        }
        Ok(Self { replicas: Replicas::new(databases), ..self })
    }

    /// Fills the schemas of tenants from this template.
    #[must_use]
    pub fn with_template(self, template: Option<TenantTemplate>) -> Self {
        Self { template, ..self }
    }

    /// Closes every connection, once those in use have come back.
    pub async fn close(&self) {
        self.primary.close().await;
        self.watched.close().await;
        self.writing.close().await;
        self.replicas.close().await;
    }

    /// Connections to the primary, and those of them that nobody uses.
    pub fn connections(&self) -> [usize; 2] {
        self.primary.connections()
    }

    /// How often a change waited for over a second for an advisory lock.
    pub fn lock_waits(&self) -> u64 {
        self.writing.lock_waits.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Replicas, and those of them that loads may be read from.
    pub fn replicas(&self) -> [usize; 2] {
        self.replicas.count()
    }

    /// Finds out which replicas hold these changes. They must have been announced before this is called.
    pub async fn check_replicas(&self, changes: u64) -> Result<(), StoreError> {
        self.replicas.check(&self.watched, changes).await
    }

    /// Is the database there?
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.watched.sql("SELECT 1", []).await.map(|_| ())
    }

    /// Are changes counted and announced?
    pub fn log(&self) -> ChangeLog {
        self.log
    }

    /// Could this database announce changes, rather than be asked for them?
    pub fn can_listen(&self) -> bool {
        self.listen_options.is_some()
    }

    /// Reads a tenant's rows word for word, for people who ask why.
    pub async fn read(&self, key: &TenantKey, now: DateTime<Utc>) -> Result<Reading, StoreError> {
        let rows = self.tenants.read(&self.primary, key).await?;
        tenant::reading(&rows, &self.words, now)
    }

    /// Reads a page of all tenants, with their statuses.
    pub async fn tenants(&self, page: PageOfTenants) -> Result<Vec<(TenantId, TenantStatus)>, StoreError> {
        tenants::page(&self.primary, page).await
    }

    /// Reads a page of the tenants that have a subscription to this module, whatever has become of it. Their facts hold the
    /// subscriptions to it, and no others.
    pub async fn tenants_with(
        &self,
        module: &str,
        page: PageOfTenants,
        now: DateTime<Utc>,
    ) -> Result<Vec<Facts>, StoreError> {
        tenants::page_with(&self.primary, module, page, &self.words, now).await
    }

    /// Looks for tenants.
    pub async fn list_tenants(&self, filter: &TenantFilter, now: DateTime<Utc>) -> Result<ListOfTenants, StoreError> {
        list::list(&self.primary, filter, now).await
    }

    /// Reads all modules with their prices, or those that are on sale, in the order of the menu.
    pub async fn module_offers(&self, on_sale_only: bool) -> Result<Vec<ModuleOffer>, StoreError> {
        let read = offers::modules(&self.primary, &self.words, offers::shown_price).await;
        let mut modules = self.name_missing_columns(read).await?;
        modules.retain(|offer| offer.module.is_active || !on_sale_only);
        Ok(modules)
    }

    /// Reads all plans with their prices, or those that are on sale, in the order in which they are shown.
    pub async fn plan_offers(&self, on_sale_only: bool) -> Result<Vec<PlanOffer>, StoreError> {
        let read = offers::plans(&self.primary, &self.words, offers::shown_price).await;
        let mut plans = self.name_missing_columns(read).await?;
        plans.retain(|offer| offer.plan.is_active || !on_sale_only);
        Ok(plans)
    }

    /// Could a new tenant have this subdomain, as far as the database can tell?
    pub async fn check_subdomain(&self, subdomain: &Subdomain) -> Result<Result<(), SubdomainRefusal>, StoreError> {
        subdomain::check(&self.primary, subdomain).await
    }

    /// Reads tenants from a replica that holds these changes; `None` where there is none, or it was not up to it.
    async fn read_from_replica(&self, keys: &[TenantKey], changes: u64) -> Option<Vec<QueryResult>> {
        let (replica, held) = self.replicas.one_that_holds(changes)?;
        let Replica { database, .. } = replica;
        let read = async {
            match keys {
                [TenantKey::Id(id)] => self.tenants.read_from_replica(database, *id, &held.lsn).await,
                _ => self.batches.read_from_replica(database, keys, &held.lsn).await,
            }
        };
        match in_time(read).await {
            Ok(rows) if tenant::holds(&rows) => return Some(rows),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a replica failed; the primary is asked instead: {error}"),
        }
        replica.distrust();
        None
    }

    /// Folds rows of the log that are old into a number per tenant, so that the log stays short. Several processes may:
    /// one does.
    pub async fn fold(&self) -> Result<(), StoreError> {
        self.primary.dialect().fold(&self.primary).await
    }
}

impl LoadTenant for Store {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<Loaded, StoreError>>, StoreError> {
        let from_replica = match (keys, source) {
            // The statement for one subdomain is the primary's.
            ([TenantKey::Subdomain(_)], _) | (_, Source::Primary) => None,
            (_, Source::AnyThatHolds(changes)) => self.read_from_replica(keys, changes).await,
        };
        let rows = match (from_replica, keys) {
            (Some(rows), _) => rows,
            (None, [key]) => self.tenants.read(&self.primary, key).await?,
            (None, _) => self.batches.read(&self.primary, keys).await?,
        };
        let [key] = keys else { return batch::loaded(rows, keys, &self.words, now) };
        Ok(vec![tenant::reading(&rows, &self.words, now).map(|reading| Loaded::of(reading, key))])
    }

    async fn load_keys(&self) -> Result<Vec<TenantKey>, StoreError> {
        tenant::keys(&self.primary).await
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Catalogue, StoreError> {
        catalogue::read(&self.primary, self.log, &self.words, now).await
    }
}
