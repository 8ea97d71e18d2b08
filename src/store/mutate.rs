//! Mutations: one transaction each, recorded in it, and done once however often it is asked for.

use chrono::{DateTime, Utc};
use entitlementd_migration::locks;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use thiserror::Error;

use super::{
    Store, StoreError, TenantKey, entitlements, offers,
    record::{self, AuditEvent, AuditQuery, Entry},
    transaction::{Ask, Transaction},
};
use crate::domain::{Author, Mutation, RequestId, Summary, TenantId, Violation};

/// What a mutation did, or would do.
#[derive(Clone, Debug)]
pub struct Mutated {
    /// The tenant.
    pub tenant: TenantId,
    /// What it was entitled to before.
    pub before: Summary,
    /// What it is entitled to after.
    pub after: Summary,
    /// The tenant's revision, read after the commit: whoever asks for it sees what was done. 0 while changes are not
    /// counted.
    pub revision: u64,
}

/// Why a mutation was not done.
#[derive(Debug, Error)]
pub enum MutationError {
    /// The database failed. Whether it was done is not known, if it failed at the commit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such tenant.
    #[error("there is no such tenant")]
    TenantNotFound,
    /// It is against the rules, each of these.
    #[error("refused: {0:?}")]
    Refused(Vec<Violation>),
    /// Another request was made under the same id.
    #[error("another request was made under this request id")]
    RequestIdReused,
}

impl Store {
    /// Does it, and records it. A request that was done already, by its id, is answered as it was then.
    pub async fn mutate(
        &self,
        key: &TenantKey,
        mutation: &Mutation,
        author: &Author,
    ) -> Result<Mutated, MutationError> {
        let (action, request) = record::request_of(key, mutation, author);
        let txn = self.primary.begin_writing().await?;
        if let Some(id) = &author.request_id
            && let Some(event) = done_already(&txn, id, author.at).await?
        {
            if (event.action.as_str(), &event.request) != (action, &request) {
                return Err(MutationError::RequestIdReused);
            }
            txn.commit().await?;
            return self.answer_again(&event).await;
        }
        let Done { tenant, subdomain, before, after } = self.apply(&txn, key, mutation, author.at).await?;
        let entry = Entry {
            author,
            action,
            tenant: Some(tenant),
            subject: &subdomain,
            request,
            before: Some(&before),
            after: Some(&after),
        };
        record::add(&txn, entry).await?;
        txn.commit().await?;
        Ok(Mutated { tenant, before, after, revision: self.revision(tenant, author.at).await? })
    }

    /// Says what it would do, by doing it in a transaction that is thrown away.
    pub async fn preview(
        &self,
        key: &TenantKey,
        mutation: &Mutation,
        at: DateTime<Utc>,
    ) -> Result<Mutated, MutationError> {
        let txn = self.primary.begin_writing().await?;
        let Done { tenant, before, after, .. } = self.apply(&txn, key, mutation, at).await?;
        txn.roll_back().await?;
        Ok(Mutated { tenant, before, after, revision: self.revision(tenant, at).await? })
    }

    /// Reads the record, the newest first.
    pub async fn audit_events(&self, query: &AuditQuery) -> Result<Vec<AuditEvent>, StoreError> {
        let visit = self.primary.visit().await?;
        let events = record::list(&visit.inner, query).await?;
        visit.commit().await?;
        Ok(events)
    }

    async fn apply(
        &self,
        txn: &Transaction,
        key: &TenantKey,
        mutation: &Mutation,
        at: DateTime<Utc>,
    ) -> Result<Done, MutationError> {
        let sql = "SELECT pg_advisory_xact_lock_shared($1)";
        lock(txn, Statement::from_sql_and_values(txn.backend(), sql, [locks::CATALOGUE.into()])).await?;
        let locked = entitlements::lock(txn, key).await?.ok_or(MutationError::TenantNotFound)?;
        let before = entitlements::read(txn, locked.id, &self.words).await?;
        let offers = offers::read_all(txn, &self.words).await?;
        let after = mutation.apply(&before, &offers, at).map_err(MutationError::Refused)?;
        entitlements::write(txn, locked.id, &before, &after, at).await?;
        Ok(Done {
            tenant: locked.id,
            subdomain: locked.subdomain,
            before: before.summary(&offers, at),
            after: after.summary(&offers, at),
        })
    }

    async fn answer_again(&self, event: &AuditEvent) -> Result<Mutated, MutationError> {
        let (Some(tenant), Some(before), Some(after)) = (event.tenant, &event.before, &event.after) else {
            return Err(MutationError::RequestIdReused);
        };
        Ok(Mutated {
            tenant,
            before: record::summary_of(event, before)?,
            after: record::summary_of(event, after)?,
            revision: self.revision(tenant, event.made_at).await?,
        })
    }

    /// A tenant's revision as it is now.
    async fn revision(&self, tenant: TenantId, now: DateTime<Utc>) -> Result<u64, StoreError> {
        Ok(self.read(&TenantKey::Id(tenant), now).await?.revision)
    }
}

struct Done {
    tenant: TenantId,
    subdomain: String,
    before: Summary,
    after: Summary,
}

/// What was done under this request id. Another request with the same id waits until this one has ended.
async fn done_already(txn: &Transaction, id: &RequestId, at: DateTime<Utc>) -> Result<Option<AuditEvent>, StoreError> {
    let sql = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
    lock(txn, Statement::from_sql_and_values(txn.backend(), sql, [locks::REQUEST.into(), id.to_string().into()]))
        .await?;
    record::find(txn, id, at).await
}

/// Takes a lock that lasts as long as the transaction. On SQLite the transaction is alone.
async fn lock(txn: &Transaction, statement: Statement) -> Result<(), StoreError> {
    if txn.backend() == DbBackend::Postgres {
        txn.inner.execute_raw(statement).await?;
    }
    Ok(())
}
