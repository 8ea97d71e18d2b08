//! What is known here, for instances that have no database of their own.

mod batch;
mod follow;
mod hub;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;

pub(super) use self::{
    batch::Changes,
    follow::{FollowMessage, FollowQuery, Follower, Heartbeat, Opened, Pings},
};
pub(crate) use self::{batch::Position, hub::Hub};
use super::{Api, caller::CallerIdentity, error::RequestError};
use crate::{
    cache::{FeedState, Known, LoadError, Requester},
    domain::{Catalogue, Facts, Label},
    store::{News, Position as LogPosition, StoreError, TenantKey},
};

/// Answers to those who ask what they have missed that are kept for others, at most.
const MAX_MISSED: usize = 16;

/// The tenants of one request that are looked up at the same time.
const AT_ONCE: usize = 100;

/// Whose facts are wanted.
#[derive(Debug)]
pub(super) struct FactsQuery<'a> {
    pub(super) caller: CallerIdentity<'a>,
    pub(super) tenants: Vec<TenantKey>,
    /// Of one tenant that is named by its id; 0: whatever is known.
    pub(super) min_revision: u64,
}

/// What is known of one tenant.
#[derive(Debug)]
pub(super) enum Found {
    /// What the database says.
    Facts(Facts),
    /// What it said, and the last instant at which that is known to have been so.
    Outdated(Facts, DateTime<Utc>),
    /// There is no such tenant.
    Absent { revision: u64, as_of: DateTime<Utc>, stale: bool },
    /// Nobody knows.
    Unknown { is_unreadable: bool },
}

impl Api {
    pub(super) async fn get_facts(
        &self,
        query: FactsQuery<'_>,
    ) -> Result<Vec<Found>, RequestError> {
        let FactsQuery { caller, tenants, min_revision } = query;
        let now = self.clock.now();
        if let ([TenantKey::Id(id)], 1..) = (&*tenants, min_revision)
            && caller.may_ask_about(*id)
        {
            let wanted = self.cache.get_at_least(*id, min_revision, caller.requester(), now).await;
            return match wanted {
                // What is held by now says which revision there is.
                Err(LoadError::NotFreshEnough) => {
                    Ok(vec![self.find(caller, TenantKey::Id(*id), now).await])
                }
                wanted => Ok(vec![self.found(wanted?)]),
            };
        }
        let found = tenants.into_iter().map(|key| self.find(caller, key, now));
        Ok(stream::iter(found).buffered(AT_ONCE).collect().await)
    }

    /// What is known of a tenant. One that the caller may not ask about is absent, as those are that there
    /// are not: others are asked for beside it.
    async fn find(&self, caller: CallerIdentity<'_>, key: TenantKey, now: DateTime<Utc>) -> Found {
        let absent = Found::Absent { revision: 0, as_of: now, stale: false };
        if let TenantKey::Id(id) = key
            && !caller.may_ask_about(id)
        {
            return absent;
        }
        match self.cache.get_by_key(&key, now).await {
            // Whose a subdomain is shows only once it is known.
            Ok(Known { facts: Some(facts), .. }) if !caller.may_ask_about(facts.tenant.id) => {
                absent
            }
            Ok(known) => self.found(known),
            Err(_) if caller.tenants().is_some() && matches!(key, TenantKey::Subdomain(_)) => {
                Found::Unknown { is_unreadable: false }
            }
            Err(error) => {
                let is_unreadable =
                    matches!(error, LoadError::Store(StoreError::Unreadable { .. }));
                Found::Unknown { is_unreadable }
            }
        }
    }

    fn found(&self, Known { facts, as_of, revision, stale }: Known) -> Found {
        match facts {
            None => Found::Absent { revision, as_of, stale },
            Some(facts) if stale => {
                let was_so_at = self.cache.were_so_at(&facts);
                Found::Outdated(facts, was_so_at)
            }
            Some(facts) => Found::Facts(facts),
        }
    }

    /// The catalogue, and whether it may have changed.
    pub(super) async fn get_catalogue(&self) -> Result<(Arc<Catalogue>, bool), RequestError> {
        let catalogue = self.cache.catalogue(self.clock.now()).await?;
        let stale = !self.cache.is_current(&catalogue);
        Ok((catalogue, stale))
    }

    /// The keys of all tenants that the caller may ask about.
    pub(super) async fn list_tenant_keys(
        &self,
        caller: CallerIdentity<'_>,
    ) -> Result<(Arc<[TenantKey]>, OwnedSemaphorePermit), RequestError> {
        let place = self.hub.place_to_list().ok_or(RequestError::TooManyFollowers)?;
        let now = self.clock.now();
        let Some(tenants) = caller.tenants() else {
            return Ok((self.hub.keys(self.cache.tenant_keys()).await?, place));
        };
        let known = tenants.iter().copied().map(|id| self.cache.get(id, now));
        let known: Vec<_> = stream::iter(known).buffered(AT_ONCE).collect().await;
        let mut keys = Vec::new();
        for known in known {
            let Some(facts) = known?.facts else { continue };
            let label = Label::parse(&facts.tenant.subdomain);
            keys.push(TenantKey::Id(facts.tenant.id));
            keys.extend(label.map(TenantKey::Subdomain));
        }
        Ok((keys.into(), place))
    }

    /// What has changed since the log was read up to a mark, be it by another instance; `None`: that
    /// cannot be found out here. When a core has ended, thousands ask at once, for a few marks.
    async fn missed_since(&self, mark: &[u8]) -> Option<Missed> {
        let database = self.database.as_ref()?;
        let position = LogPosition::of_mark(mark)?;
        if self.cache.feed() != FeedState::Live {
            // Whoever asks is better off elsewhere than waiting for a database that does not answer.
            return None;
        }
        let mut found = self.hub.missed().await;
        if let Some((_, missed)) = found.iter().find(|(found, _)| **found == *mark)
            && self.hub.sequence_at(&missed.until).is_some()
        {
            return Some(missed.clone());
        }
        // What changes from here on is in batches that follow.
        let until = self.hub.position();
        let store = Arc::clone(&database.store);
        let poll = async move { store.poll(Some(&position)).await };
        let polled = self.cache.bypass(Requester::ANYBODY, poll).await.ok()?;
        let News::Changes(changes) = polled.news else { return None };
        if !polled.armed {
            return None;
        }
        let missed = Missed { until, changes: Changes::of(&changes) };
        found.truncate(MAX_MISSED - 1);
        found.push_front((Arc::from(mark), missed.clone()));
        Some(missed)
    }
}

/// What somebody has missed, and where it is once it knows that.
#[derive(Clone, Debug)]
struct Missed {
    until: Position,
    changes: Changes,
}
