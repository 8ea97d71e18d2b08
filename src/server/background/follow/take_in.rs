//! Taking in what was sent.

use std::sync::Arc;

use prost::{Message, bytes::Bytes};
use uuid::Uuid;

use super::{Follow, hold::Wanted};
use crate::{
    cache::{ChangeOutcome, FeedState},
    domain::TenantId,
    observability::log_limiter::{LogLimiter, log_limited},
    proto::replication::{FactChanges, FollowOpened, GoneTenant, Position},
    store::Change,
    wire::{self, Shared},
};

/// Tenants of which it is remembered that they have changed, at most. Of more, watchers are told to
/// begin anew.
const MAX_AWAITED: usize = 1 << 16;

impl Follow<'_> {
    /// A stream has begun.
    pub(super) fn open(&self, opened: FollowOpened) {
        // The position is that after what was missed, which is yet to be taken in.
        let FollowOpened { reset, position: _ } = opened;
        let awaited = std::mem::take(&mut *self.awaited.lock());
        if reset {
            self.everything_changed();
        }
        for id in awaited {
            // What has become of it was perhaps sent on the stream before, after that had ended here.
            self.receive(ChangeOutcome::Unread(id));
        }
        self.want(Wanted::All);
    }

    /// What was received up to there is known.
    pub(super) fn reach(&self, position: Position) {
        let mark: Arc<[u8]> = Arc::from(&*position.mark);
        *self.position.lock() = Some(position);
        self.api.cache.mark(&mark);
    }

    /// Takes in changes. Err: they cannot be read.
    pub(super) fn take_in(&self, encoded: Bytes) -> Result<(), String> {
        let unreadable =
            |problem: &dyn std::fmt::Display| format!("it sends what cannot be read: {problem}");
        let changes = FactChanges::decode(encoded).map_err(|error| unreadable(&error))?;
        let now = self.api.clock.now();
        let changed = ids(&changes.changed_tenant_ids).ok_or_else(|| unreadable(&"ids"))?;
        let mut unread = ids(&changes.unread_tenant_ids).ok_or_else(|| unreadable(&"ids"))?;
        if changes.reset {
            self.everything_changed();
        }
        let mut news: Vec<_> = changed.iter().copied().map(Change::Tenant).collect();
        news.extend(changes.directory_changed.then_some(Change::Directory));
        news.extend(changes.catalogue_changed.then_some(Change::Catalogue));
        self.api.cache.apply_changes(&news, now);
        self.await_outcomes(changed);
        let mut shared = Shared::default();
        for facts in changes.facts {
            let id = facts.tenant.as_ref().and_then(|tenant| Uuid::from_slice(&tenant.id).ok());
            let id = TenantId::from(id.ok_or_else(|| unreadable(&"a tenant without an id"))?);
            match wire::facts_of(facts, &mut shared) {
                Ok(mut facts) => {
                    // Read before now, whatever a clock shows there.
                    facts.as_of = facts.as_of.min(now);
                    self.receive(ChangeOutcome::Facts(facts));
                }
                Err(error) => {
                    static UNREADABLE: LogLimiter = LogLimiter::new();
                    log_limited!(UNREADABLE, warn, tenant = %id, %error, "the upstream sends facts that cannot be read: {error}");
                    unread.push(id);
                }
            }
        }
        for GoneTenant { id, revision } in changes.gone_tenants {
            let id = Uuid::from_slice(&id).map_err(|error| unreadable(&error))?.into();
            self.receive(ChangeOutcome::Gone(id, revision));
        }
        for id in &unread {
            self.receive(ChangeOutcome::Unread(*id));
        }
        // The facts of a tenant that is new are sent as those of one that has changed are.
        self.want(Wanted::Some(unread.into_iter().collect()));
        if let Some(position) = changes.position {
            self.reach(position);
        }
        if changes.catalogue_changed {
            self.modules_changed();
        }
        Ok(())
    }

    fn await_outcomes(&self, changed: Vec<TenantId>) {
        let mut awaited = self.awaited.lock();
        awaited.extend(changed);
        if awaited.len() > MAX_AWAITED {
            drop(awaited);
            self.everything_changed();
        }
    }

    /// Anything may have changed.
    fn everything_changed(&self) {
        self.awaited.lock().clear();
        self.api.cache.reset(self.api.clock.now());
        self.unlist();
        self.want(Wanted::All);
    }

    fn receive(&self, sent: ChangeOutcome) {
        let id = sent.tenant();
        self.awaited.lock().remove(&id);
        let cache = &self.api.cache;
        let is_passed_over =
            matches!(&sent, ChangeOutcome::Facts(facts) if cache.held_ahead().passes_over(facts));
        cache.receive(sent, self.api.clock.now());
        let mut passed_over = self.passed_over.lock();
        if is_passed_over && cache.feed() == FeedState::Live && !cache.holds(id) {
            passed_over.insert(id);
        } else {
            passed_over.remove(&id);
        }
    }
}

/// Ids, 16 bytes each. `None`: they are none.
fn ids(bytes: &[u8]) -> Option<Vec<TenantId>> {
    let (ids, rest) = bytes.as_chunks::<16>();
    rest.is_empty().then(|| ids.iter().map(|id| Uuid::from_bytes(*id).into()).collect())
}
