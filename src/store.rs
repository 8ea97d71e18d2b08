//! The database: rows to domain, one statement per snapshot.
//!
//! No row leaves the store, absence is `Ok(None)`, and a row that cannot be read names its table,
//! column and key.

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
mod idle_health;
mod instant;
mod interner;
mod list;
mod load;
mod mutate;
mod offer_json;
mod offers;
mod onboard;
mod ownership;
mod pooled_connection;
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
mod warn_once;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;

pub use entitlementd_migration::ChangeLog;

use self::{
    ask::Ask, batch::BatchStatements, database::Database, idle_health::IdleHealth,
    replica::Replicas, row::ReadContext, tenant::TenantStatements,
};
pub use self::{
    changes::{Change, Listener, News, Poll, Position},
    connect::{ConnectError, ConnectOptions, Durations, Pooler},
    delete::Deletion,
    error::StoreError,
    list::{ListOfTenants, ListedTenant, TenantFilter},
    load::{LoadTenant, Loaded, Source, TenantKey},
    mutate::{Mutated, MutationError},
    offer_json::{module_to_json, plan_to_json},
    onboard::NewTenant,
    provision::Provisioned,
    record::{AuditEvent, AuditQuery, summary_to_json},
    schema::{SchemaReport, SchemaState},
    tenant::{Evidence, Reading, SubscriptionEvidence, TenantEvidence},
    tenants::PageOfTenants,
};
use crate::domain::{
    Facts, ModuleOffer, PlanOffer, Subdomain, SubdomainRefusal, TenantId, TenantStatus,
    TenantTemplate,
};

/// Connections for watching: one, and another while it does not come back.
const MAX_WATCHING: u32 = 2;

/// A database that holds the ERP's public schema.
#[derive(Debug)]
pub struct Store {
    primary: Database,
    /// Connections of their own for those who must get one although loads have taken all of
    /// `primary`: the feed, and the check of replicas.
    watched: Database,
    /// Connections of their own for what administrators change: a transaction that waits must not
    /// take one from loads.
    writing: Database,
    health: IdleHealth,
    replicas: Replicas,
    /// How to open a connection to listen on; `None` where there is none to be had.
    listen_options: Option<PgConnectOptions>,
    log: ChangeLog,
    tenants: TenantStatements,
    batches: BatchStatements,
    context: ReadContext,
    /// What tenants' schemas hold; `None`: the operator has no template.
    template: Option<TenantTemplate>,
}

impl Store {
    /// Prepares a pool. Connects only when something is asked, so that a database that is down
    /// stops nobody from starting.
    pub async fn open(options: &ConnectOptions<'_>, log: ChangeLog) -> Result<Self, ConnectError> {
        let health = IdleHealth::default();
        let primary = connect::open(options, &health).await?;
        let [watched, writing] = if primary.dialect().has_concurrent_writers() {
            [
                connect::open(
                    &ConnectOptions { max_connections: MAX_WATCHING, ..*options },
                    &health,
                )
                .await?,
                connect::open_to_write(options, &health).await?,
            ]
        } else {
            // A file is never crowded, and one in memory is there only once.
            [primary.clone(), primary.clone()]
        };
        let tenants = TenantStatements::new(primary.dialect(), log);
        let batches = BatchStatements::new(primary.dialect(), log);
        let listen_options = connect::listen_options(options, &primary)?;
        let replicas = Replicas::default();
        let context = ReadContext::default();
        Ok(Self {
            primary,
            watched,
            writing,
            health,
            replicas,
            listen_options,
            log,
            tenants,
            batches,
            context,
            template: None,
        })
    }

    /// Adds replicas, from which loads are read where that is as good as from the primary.
    pub async fn with_replicas(self, options: &[ConnectOptions<'_>]) -> Result<Self, ConnectError> {
        let mut databases = Vec::with_capacity(options.len());
        for options in options {
            databases.push(connect::open(options, &IdleHealth::default()).await?);
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

    /// Finds out which replicas hold these changes. They must have been announced before this is
    /// called.
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
        tenant::reading(&rows, &self.context, now)
    }

    /// Reads a page of all tenants, with their statuses.
    pub async fn tenants(
        &self,
        page: PageOfTenants,
    ) -> Result<Vec<(TenantId, TenantStatus)>, StoreError> {
        tenants::page(&self.primary, page).await
    }

    /// Reads a page of the tenants that have a subscription to this module, whatever has become of
    /// it. Their facts hold the subscriptions to it, and no others.
    pub async fn tenants_with(
        &self,
        module: &str,
        page: PageOfTenants,
        now: DateTime<Utc>,
    ) -> Result<Vec<Facts>, StoreError> {
        tenants::page_with(&self.primary, module, page, &self.context, now).await
    }

    /// Looks for tenants.
    pub async fn list_tenants(
        &self,
        filter: &TenantFilter,
        now: DateTime<Utc>,
    ) -> Result<ListOfTenants, StoreError> {
        list::list(&self.primary, filter, now).await
    }

    /// Reads all modules with their prices, or those that are on sale, in the order of the menu.
    pub async fn module_offers(&self, on_sale_only: bool) -> Result<Vec<ModuleOffer>, StoreError> {
        let read = offers::modules(&self.primary, &self.context, offers::shown_price).await;
        let mut modules = self.name_missing_columns(read).await?;
        modules.retain(|offer| offer.module.is_active || !on_sale_only);
        Ok(modules)
    }

    /// Reads all plans with their prices, or those that are on sale, in the order in which they are
    /// shown.
    pub async fn plan_offers(&self, on_sale_only: bool) -> Result<Vec<PlanOffer>, StoreError> {
        let read = offers::plans(&self.primary, &self.context, offers::shown_price).await;
        let mut plans = self.name_missing_columns(read).await?;
        plans.retain(|offer| offer.plan.is_active || !on_sale_only);
        Ok(plans)
    }

    /// Could a new tenant have this subdomain, as far as the database can tell?
    pub async fn check_subdomain(
        &self,
        subdomain: &Subdomain,
    ) -> Result<Result<(), SubdomainRefusal>, StoreError> {
        subdomain::check(&self.primary, subdomain).await
    }

    /// Folds rows of the log that are old into a number per tenant, so that the log stays short.
    /// Several processes may: one does.
    pub async fn fold(&self) -> Result<(), StoreError> {
        self.primary.dialect().fold(&self.primary).await
    }
}
