//! The database: rows to domain types, one statement per snapshot.
//!
//! Rows do not leave the store, absence is `Ok(None)`, and the error for an unreadable row names
//! its table, column and key.

mod addresses;
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
mod feature_change;
mod idle_health;
mod instant;
mod interner;
mod kept;
mod list;
mod load;
mod loaded;
mod mutate;
mod offer_json;
mod offers;
mod onboard;
mod overview;
mod own_connection;
mod own_replica;
mod ownership;
mod pool;
mod provision;
mod record;
mod replica;
mod request_json;
mod retries;
mod row;
mod schema;
mod setting_json;
mod subdomain;
mod summary_json;
mod tenant;
mod tenant_key;
mod tenants;
mod transaction;
mod unread_terms;
mod upsert;
pub mod usage;
mod warn_once;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

pub use entitlementd_migration::{Additions, Armed, ChangeLog, Variant};

use self::{
    addresses::{Listening, ListensAt},
    ask::Ask,
    batch::BatchStatement,
    database::Database,
    idle_health::IdleHealth,
    own_replica::OwnReplica,
    pool::Purpose,
    replica::Replicas,
    row::ReadContext,
    tenant::{Detail, OwnTables, TenantStatements},
};
pub use self::{
    addresses::{MoveError, Moves, Moving, Whereabouts},
    changes::{
        Change, FoldStep, Gap, Holder, HolderName, Listener, LogState, News, Poll, Position,
    },
    connect::{ConnectError, ConnectOptions, Durations, Pooler},
    delete::Deletion,
    error::StoreError,
    feature_change::{
        FeatureChange, FeatureChanged, NamedFlag, NamedKeptFeature, NamedKeptLimit, NamedLimit,
        OwnChanged, feature_to_json, flag_to_json, kept_feature_to_json, kept_limit_to_json,
        limit_to_json, override_to_json, time_zone_to_json,
    },
    list::{ListOfTenants, ListedTenant, TenantFilter},
    load::{LoadTenant, Source},
    loaded::{Loaded, Read},
    mutate::{Mutated, MutationError},
    offer_json::{module_to_json, plan_to_json},
    onboard::NewTenant,
    overview::Overview,
    own_replica::{Holds, PrimaryPosition, Reached, ReplicaPoll},
    pool::{Exchanges, LoadShares, within},
    provision::Provisioned,
    record::{AuditEvent, AuditQuery},
    schema::{SchemaReport, SchemaState},
    setting_json::{length_of, setting_of, setting_to_json},
    summary_json::summary_to_json,
    tenant::{
        Evidence, FlagEvidence, OverrideEvidence, OwnEvidence, Reading, SubscriptionEvidence,
        TenantEvidence,
    },
    tenant_key::TenantKey,
    tenants::PageOfTenants,
    unread_terms::UnreadTerm,
    usage::{
        Folded, Granularity, MessageId, ReconcileRequest, Reconciled, Recording, Unread,
        UsageAnswer, UsageOp, UsageOutcome, UsageRequest, UsageSpan, UsageSpans,
    },
};
use crate::domain::{
    Facts, ModuleOffer, PlanOffer, Subdomain, SubdomainRefusal, TenantId, TenantStatus,
    TenantTemplate,
};

/// A database that holds the ERP's public schema.
#[derive(Debug)]
pub struct Store {
    primary: Database,
    /// The same for users that must get a connection even if loads have taken all that they may: the
    /// change feed, and the check of replicas.
    watched: Database,
    /// The same for administrators' changes: a transaction that waits must not take all from loads.
    writing: Database,
    replicas: Replicas,
    /// Where checks are answered from and changes are read, if that is another server than the primary.
    own_replica: Option<OwnReplica>,
    listening: Listening,
    durations: Durations,
    max_connections: usize,
    log: ChangeLog,
    tenants: TenantStatements,
    /// For people who ask why.
    evidence: TenantStatements,
    /// For a database that was never migrated.
    tenants_alone: TenantStatements,
    batches: BatchStatement,
    context: ReadContext,
    /// The contents of tenants' schemas; `None`: the operator has no template.
    template: RwLock<Option<Arc<TenantTemplate>>>,
    /// Where the file is; empty on PostgreSQL.
    file: String,
}

impl Store {
    /// Prepares a pool. Connects only on first use, so that the server can start while the database
    /// is down.
    pub async fn open(options: &ConnectOptions<'_>, log: ChangeLog) -> Result<Self, ConnectError> {
        let primary = connect::open(options, &IdleHealth::default()).await?;
        let [watched, writing] = [primary.to(Purpose::Watching), primary.to(Purpose::Writing)];
        let statements =
            |tables, detail| TenantStatements::new(primary.dialect(), log, tables, detail);
        let tenants = statements(OwnTables::There, Detail::Terms);
        let evidence = statements(OwnTables::There, Detail::Words);
        let tenants_alone = statements(OwnTables::Missing, Detail::Words);
        let batches = BatchStatement::new(primary.dialect(), log);
        let listening = Listening::of(options, &primary);
        let replicas = Replicas::default();
        let context = ReadContext::default();
        let file = match primary.postgres() {
            Some(_) => String::new(),
            None => connect::location_of_file(options.url),
        };
        Ok(Self {
            primary,
            watched,
            writing,
            replicas,
            own_replica: None,
            listening,
            durations: options.durations,
            max_connections: options.max_connections as usize,
            log,
            tenants,
            evidence,
            tenants_alone,
            batches,
            context,
            template: RwLock::default(),
            file,
        })
    }

    /// Closes every connection, once those in use have been returned.
    pub async fn close(&self) {
        self.primary.close().await;
        self.replicas.close().await;
        if let Some(own) = &self.own_replica {
            own.database.close().await;
        }
    }

    /// Where the database is at present that checks are answered from, without user and password: what
    /// tells it from others, also while it does not answer.
    pub fn location(&self) -> String {
        self.location_of(self.near())
    }

    /// The same of the primary.
    fn location_of_primary(&self) -> String {
        self.location_of(&self.primary)
    }

    fn location_of(&self, database: &Database) -> String {
        match database.postgres() {
            Some(pool) => connect::location(&pool.options()),
            None => self.file.clone(),
        }
    }

    /// The database that checks are answered from.
    fn near(&self) -> &Database {
        self.own_replica.as_ref().map_or(&self.primary, |own| &own.database)
    }

    /// The same, for watching.
    fn near_watched(&self) -> &Database {
        self.own_replica.as_ref().map_or(&self.watched, |own| &own.watched)
    }

    /// The numbers of connections to the primary, whatever for, and of idle ones among them.
    pub fn connections(&self) -> [usize; 2] {
        self.primary.connections()
    }

    /// How many connections the database, or a replica, has refused since there are too many: for the
    /// role, for the database, or in all.
    pub fn refused_connections(&self) -> u64 {
        let own = self.own_replica.as_ref().map_or(0, |own| own.database.refused_connections());
        self.primary.refused_connections() + self.replicas.refused_connections() + own
    }

    /// How often a change waited for more than a second for an advisory lock.
    pub fn lock_waits(&self) -> u64 {
        self.writing.lock_waits.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The numbers of replicas, and of those among them that loads may read from.
    pub fn replicas(&self) -> [usize; 2] {
        self.replicas.count()
    }

    /// Finds out which replicas hold these changes, which must have been announced before this is
    /// called.
    pub async fn check_replicas(&self, changes: u64) -> Result<(), StoreError> {
        self.replicas.check(&self.watched, changes).await
    }

    /// Checks that the database answers. Gives what its clock shows; `None` on SQLite, which has
    /// none of its own.
    pub async fn ping(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = format!("SELECT {} AS clock", self.watched.dialect().clock());
        let rows = self.near_watched().sql(sql, []).await?;
        changes::clock_of(row::first(&rows)?)
    }

    /// How long the database may take.
    pub fn durations(&self) -> Durations {
        self.durations
    }

    /// Are changes counted and announced?
    pub fn log(&self) -> ChangeLog {
        self.log
    }

    /// Can this database announce changes, so that it need not be polled? That takes a connection
    /// which does nothing else. A replica announces nothing.
    pub fn can_listen(&self) -> bool {
        if self.is_on_replica() {
            return false;
        }
        let is_one_to_spare = self.primary.postgres().is_some_and(|pool| pool.limits().most > 1);
        is_one_to_spare && !matches!(self.listens_at(), ListensAt::Nowhere)
    }

    /// How many loads may run at the same time, with the connections that the database gives.
    pub fn load_shares(&self) -> LoadShares {
        match self.near().postgres() {
            Some(pool) => pool.shares().of_loads(),
            None => LoadShares::of(self.max_connections),
        }
    }

    /// Makes sure that there is a connection.
    pub async fn connect(&self) -> Result<(), StoreError> {
        match self.near_watched().postgres() {
            Some(pool) => pool.acquire(Purpose::Watching).await.map(drop),
            None => Ok(()),
        }
    }

    /// Reads a tenant's rows unchanged, for people who ask why.
    pub async fn read(&self, key: &TenantKey, now: DateTime<Utc>) -> Result<Reading, StoreError> {
        let read = self.read_evidence(key, now).await;
        read.map_err(|error| self.naming_primary(error))
    }

    async fn read_evidence(
        &self,
        key: &TenantKey,
        now: DateTime<Utc>,
    ) -> Result<Reading, StoreError> {
        let dialect = self.primary.dialect();
        let rows = match self.primary.query(self.evidence.of(dialect, key)).await {
            // `check` also works on a database that was never migrated.
            Err(error) if error.is_missing_table() => {
                self.primary.query(self.tenants_alone.of(dialect, key)).await?
            }
            rows => rows?,
        };
        tenant::reading(&rows, &self.context, now)
    }

    /// Reads a page of all tenants, with their statuses.
    pub async fn tenants(
        &self,
        page: PageOfTenants,
    ) -> Result<Vec<(TenantId, TenantStatus)>, StoreError> {
        let page = tenants::page(&self.primary, page).await;
        page.map_err(|error| self.naming_primary(error))
    }

    /// Reads a page of the tenants that have a subscription to this module, of whatever state.
    /// Their facts hold only the subscriptions to it.
    pub async fn tenants_with(
        &self,
        module: &str,
        page: PageOfTenants,
        now: DateTime<Utc>,
    ) -> Result<Vec<Facts>, StoreError> {
        let page = tenants::page_with(&self.primary, module, page, &self.context, now).await;
        page.map_err(|error| self.naming_primary(error))
    }

    /// Searches for tenants.
    pub async fn list_tenants(
        &self,
        filter: &TenantFilter,
        now: DateTime<Utc>,
    ) -> Result<ListOfTenants, StoreError> {
        list::list(&self.primary, filter, now).await
    }

    /// Reads all modules with their prices, or only those on sale, in the order of the menu.
    pub async fn module_offers(&self, on_sale_only: bool) -> Result<Vec<ModuleOffer>, StoreError> {
        let read = offers::modules(&self.primary, &self.context, offers::shown_price).await;
        let mut modules = self.name_missing_columns(read).await?;
        modules.retain(|offer| offer.module.is_active || !on_sale_only);
        Ok(modules)
    }

    /// Reads all plans with their prices, or only those on sale, in the order in which they are
    /// shown.
    pub async fn plan_offers(&self, on_sale_only: bool) -> Result<Vec<PlanOffer>, StoreError> {
        let read = offers::plans(&self.primary, &self.context, offers::shown_price).await;
        let mut plans = self.name_missing_columns(read).await?;
        plans.retain(|offer| offer.plan.is_active || !on_sale_only);
        Ok(plans)
    }

    /// Can a new tenant have this subdomain, as far as the database knows?
    pub async fn check_subdomain(
        &self,
        subdomain: &Subdomain,
    ) -> Result<Result<(), SubdomainRefusal>, StoreError> {
        subdomain::check(&self.primary, subdomain).await
    }

    /// Folds some old rows of the log into a number per tenant, so that the log stays short, in a
    /// transaction of some 20 ms. Several processes may call this; one of them does the work.
    pub async fn fold(&self) -> Result<FoldStep, StoreError> {
        changes::fold(&self.primary).await
    }
}
