//! Mutations: one transaction each, recorded in it, and done once however often they are requested.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use chrono::{DateTime, Utc};
use entitlementd_migration::locks;
use sea_orm::{Value, prelude::Json};
use thiserror::Error;
use tokio::time::timeout;

use super::{
    Store, StoreError, TenantKey,
    ask::Ask,
    entitlements::{self, Found},
    offers,
    record::{self, AuditEvent, AuditQuery, Entry},
    request_json,
    summary_json::{after_json, summary_to_json},
    transaction::Transaction,
};
use crate::domain::{
    Author, Entitlements, ModuleCode, Mutation, SubdomainRefusal, Summary, TenantId, Violation,
};

/// What a mutation did, or would do.
#[derive(Clone, Debug)]
pub struct Mutated {
    /// The tenant that it concerns.
    pub tenant: TenantId,
    /// The entitlements before; empty for a new tenant.
    pub before: Summary,
    /// The entitlements after.
    pub after: Summary,
    /// The tenant's revision, read after the commit: a read with this as its minimum reflects the
    /// change. 0 while changes are not counted.
    pub revision: u64,
}

/// Why a mutation was not done.
#[derive(Debug, Error)]
pub enum MutationError {
    /// The database failed. If it failed at the commit, it is not known whether the mutation was
    /// done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tenant does not exist.
    #[error("there is no such tenant")]
    TenantNotFound,
    /// It violates these rules.
    #[error("refused: {}", sentences(.0))]
    Refused(Vec<Violation>),
    /// The subdomain of a new tenant is not available.
    #[error("{0}")]
    Subdomain(SubdomainRefusal),
    /// A file of the tenant template failed.
    #[error("the file {file} of the tenant template failed: {cause}")]
    Template {
        /// The path of the file within the template.
        file: String,
        /// The database's error message. For the log, the record and the command line.
        cause: String,
    },
    /// The actor has made another request with this id.
    #[error("another request was made under this request id")]
    RequestIdReused,
}

fn sentences(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What was done, before it is committed.
pub(super) struct Done {
    pub(super) tenant: TenantId,
    pub(super) subdomain: String,
    pub(super) before: Summary,
    pub(super) after: Summary,
    /// The modules that it has after, each after the modules that it depends on.
    pub(super) held: Vec<ModuleCode>,
}

impl Done {
    /// The entry in the record.
    pub(super) fn entry<'a>(
        &'a self,
        author: &'a Author,
        action: &'static str,
        request: Json,
        applied_files: &[String],
    ) -> Entry<'a> {
        Entry {
            author,
            action,
            tenant: Some(self.tenant),
            subject: &self.subdomain,
            request,
            before: Some(summary_to_json(&self.before)),
            after: Some(after_json(&self.after, applied_files)),
        }
    }
}

/// A request: new, or already done.
pub(super) enum Request {
    /// It is new, and this is the transaction to do it in.
    New(Transaction),
    /// It was already done.
    Replayed(Box<AuditEvent>),
}

impl Store {
    /// Makes a mutation, and records it. A request that was already done, by its id, gets its first
    /// answer.
    pub async fn mutate(
        &self,
        key: &TenantKey,
        mutation: &Mutation,
        author: &Author,
    ) -> Result<Mutated, MutationError> {
        let action = request_json::action_of(mutation);
        let mut request = request_json::request_of(mutation, author);
        request["tenant"] = request_json::key_to_json(key);
        let txn = match self.begin(author, action, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => return self.answer_again(&event).await,
        };
        let (done, locked) = self.apply(&txn, key, mutation, author.at).await?;
        let files = self.apply_template_to(&txn, &locked, &done.held).await?;
        record::add(&txn, done.entry(author, action, request, &files)).await?;
        txn.commit().await?;
        self.mutated(done, author.at).await
    }

    /// Shows what a mutation would do, by making it in a transaction that is rolled back.
    pub async fn preview(
        &self,
        key: &TenantKey,
        mutation: &Mutation,
        at: DateTime<Utc>,
    ) -> Result<Mutated, MutationError> {
        let txn = self.writing.begin_writing().await?;
        let (done, locked) = self.apply(&txn, key, mutation, at).await?;
        self.apply_template_to(&txn, &locked, &done.held).await?;
        txn.roll_back().await?;
        self.mutated(done, at).await
    }

    /// Reads the record, the newest first.
    pub async fn audit_events(&self, query: &AuditQuery) -> Result<Vec<AuditEvent>, StoreError> {
        let visit = self.writing.visit().await?;
        let events = record::list(&visit, query).await?;
        visit.commit().await?;
        Ok(events)
    }

    /// Begins a request, unless its actor has already made it under its request id; then it must be
    /// identical. Another request of that actor with that id waits until this one has ended.
    pub(super) async fn begin(
        &self,
        author: &Author,
        action: &str,
        request: &Json,
    ) -> Result<Request, MutationError> {
        let txn = self.writing.begin_writing().await?;
        let Some(id) = &author.request_id else { return Ok(Request::New(txn)) };
        let whose = format!("{} {} {id}", author.actor.kind(), author.actor);
        let values = [locks::REQUEST.into(), whose.into()];
        lock(&txn, "SELECT pg_advisory_xact_lock($1, hashtext($2))", values).await?;
        match record::find(&txn, &author.actor, id, author.at).await? {
            None => Ok(Request::New(txn)),
            Some(event) if (event.action.as_str(), &event.request) == (action, request) => {
                txn.commit().await?;
                Ok(Request::Replayed(Box::new(event)))
            }
            Some(_) => Err(MutationError::RequestIdReused),
        }
    }

    /// Makes a mutation of a tenant that nobody else can change meanwhile.
    pub(super) async fn apply(
        &self,
        txn: &Transaction,
        key: &TenantKey,
        mutation: &Mutation,
        at: DateTime<Utc>,
    ) -> Result<(Done, Found), MutationError> {
        self.rely_on_catalogue(txn).await?;
        let (locked, before) = self.read_entitlements(txn, key).await?;
        let offers = offers::read_all(txn, &self.context).await?;
        let after = mutation.apply(&before, &offers, at).map_err(MutationError::Refused)?;
        entitlements::write(txn, locked.id, &before, &after, at).await?;
        let after = after.summary(&offers, at);
        let done = Done {
            tenant: locked.id,
            subdomain: locked.subdomain.clone(),
            before: before.summary(&offers, at),
            held: offers.dependencies_first(after.modules.keys()).into_iter().cloned().collect(),
            after,
        };
        Ok((done, locked))
    }

    pub(super) async fn read_entitlements(
        &self,
        txn: &Transaction,
        key: &TenantKey,
    ) -> Result<(Found, Entitlements), MutationError> {
        let locked = entitlements::lock(txn, key).await?.ok_or(MutationError::TenantNotFound)?;
        let entitlements = entitlements::read(txn, locked.id, &self.context).await?;
        Ok((locked, entitlements))
    }

    /// From here on, nobody can change the catalogue until the transaction ends.
    pub(super) async fn rely_on_catalogue(&self, txn: &Transaction) -> Result<(), StoreError> {
        lock(txn, "SELECT pg_advisory_xact_lock_shared($1)", [locks::CATALOGUE.into()]).await
    }

    pub(super) async fn mutated(
        &self,
        done: Done,
        now: DateTime<Utc>,
    ) -> Result<Mutated, MutationError> {
        let Done { tenant, before, after, .. } = done;
        Ok(Mutated { tenant, before, after, revision: self.revision(tenant, now).await? })
    }

    pub(super) async fn answer_again(&self, event: &AuditEvent) -> Result<Mutated, MutationError> {
        let [before, after] = event.summaries()?.map(Option::unwrap_or_default);
        let tenant = event.tenant.ok_or(MutationError::RequestIdReused)?;
        Ok(Mutated { tenant, before, after, revision: self.revision(tenant, event.made_at).await? })
    }

    /// A tenant's current revision.
    pub(super) async fn revision(
        &self,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        Ok(self.read(&TenantKey::Id(tenant), now).await?.revision)
    }
}

/// From here on, nobody else can hold this lock, until the transaction ends.
pub(super) async fn lock_alone(txn: &Transaction, key: i64) -> Result<(), StoreError> {
    lock(txn, "SELECT pg_advisory_xact_lock($1)", [key.into()]).await
}

/// Another administrator's change holds a lock for less than this.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Takes a lock that lasts as long as the transaction. On SQLite the transaction is the only
/// writer.
async fn lock<const N: usize>(
    txn: &Transaction,
    sql: &str,
    values: [Value; N],
) -> Result<(), StoreError> {
    if !txn.dialect().has_concurrent_writers() {
        return Ok(());
    }
    let mut taking = pin!(txn.execute_with(sql, values));
    match timeout(LONG_WAIT, taking.as_mut()).await {
        Ok(taken) => taken,
        Err(_) => {
            // Anybody who can log in may hold the lock, and the caller may give up before the
            // database does.
            txn.lock_waits.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "a change waits for an advisory lock that another session holds: see pg_locks where locktype = 'advisory'"
            );
            taking.await
        }
    }
}
