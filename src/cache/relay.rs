//! What the cache passes on to whoever sends it to other instances, in the order in which it was
//! learned.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Cache, FeedState, Inner, restored::Restored};
use crate::{
    clock::Uptime,
    domain::{Facts, TenantId},
    store::{Change, LoadTenant},
};

/// How much may wait to be received. More is lost, and told as that.
const MAX_WAITING: usize = 1 << 16;

/// Something that the cache has learned.
#[derive(Clone, Debug)]
pub enum Relayed {
    /// Something has changed: all that is known of it is outdated.
    Change(Change),
    /// What has become of a tenant.
    Outcome(ChangeOutcome),
    /// The changes before this are all that the feed had read up to there, in its own words.
    Mark(Arc<[u8]>),
    /// How good what was passed on before is.
    Feed(RelayedFeed),
}

/// What has become of a tenant that has changed: of all changes that were told before, and of none that is
/// told later.
#[derive(Clone, Debug)]
pub enum ChangeOutcome {
    /// Its facts are these now.
    Facts(Facts),
    /// It is no more, as of this revision.
    Gone(TenantId, u64),
    /// It was read, perhaps without success: no more is learned of it for now.
    Unread(TenantId),
}

impl ChangeOutcome {
    /// Whose it is.
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Facts(facts) => facts.tenant.id,
            Self::Gone(id, _) | Self::Unread(id) => *id,
        }
    }

    /// The revision at which that is so; 0: it could not be read.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Facts(facts) => facts.revision,
            Self::Gone(_, revision) => *revision,
            Self::Unread(_) => 0,
        }
    }
}

/// The state of the feed.
#[derive(Clone, Copy, Debug)]
pub struct RelayedFeed {
    /// Are changes received?
    pub state: FeedState,
    /// When the database last answered.
    pub proof: Option<DateTime<Utc>>,
    /// Until when that counts.
    pub until: Uptime,
}

/// What the cache has learned since this was begun.
#[derive(Debug)]
pub struct Relaying {
    receiver: mpsc::Receiver<Relayed>,
    lost: Arc<AtomicBool>,
    /// The last mark before; empty: there was none.
    mark: Arc<[u8]>,
}

impl Relaying {
    /// The last mark before what is passed on; empty: there was none.
    pub fn mark(&self) -> &Arc<[u8]> {
        &self.mark
    }

    /// The next; `None`: some of it was lost, so that anything may have changed.
    pub async fn next(&mut self) -> Option<Relayed> {
        if self.lost.swap(false, Ordering::AcqRel) {
            return None;
        }
        match self.receiver.recv().await {
            Some(next) => Some(next),
            // The cache has ended, and nothing follows.
            None => std::future::pending().await,
        }
    }
}

/// The cache's end; nothing is passed on until somebody wants it.
#[derive(Debug, Default)]
pub(super) struct Relay {
    sender: OnceLock<(mpsc::Sender<Relayed>, Arc<AtomicBool>)>,
    /// The last one.
    mark: Mutex<Option<Arc<[u8]>>>,
}

impl Relay {
    pub(super) fn is_wanted(&self) -> bool {
        self.sender.get().is_some()
    }

    pub(super) fn pass_on_outcome(&self, outcome: impl FnOnce() -> ChangeOutcome) {
        self.pass_on(|| Relayed::Outcome(outcome()));
    }

    pub(super) fn pass_on(&self, relayed: impl FnOnce() -> Relayed) {
        let Some((sender, lost)) = self.sender.get() else { return };
        if sender.try_send(relayed()).is_err() {
            lost.store(true, Ordering::Release);
        }
    }
}

impl<L: LoadTenant> Cache<L> {
    /// Passes on from now on what is learned; `None`: it is passed on to somebody already.
    pub fn relay(&self) -> Option<Relaying> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let lost = Arc::<AtomicBool>::default();
        let relay = &self.0.relay;
        // What changes from here on may be passed on before the next mark, and came after this one.
        let mark = relay.mark.lock().clone().unwrap_or_default();
        let relaying = Relaying { receiver, lost: Arc::clone(&lost), mark };
        relay.sender.set((sender, lost)).ok()?;
        self.0.pass_on_feed();
        Some(relaying)
    }

    /// The feed has read all changes up to there, in its own words, which nobody here has to
    /// understand.
    pub fn mark(&self, mark: &Arc<[u8]>) {
        let mut last = self.0.relay.mark.lock();
        *last = Some(Arc::clone(mark));
        self.0.relay.pass_on(|| Relayed::Mark(Arc::clone(mark)));
    }
}

impl<L> Inner<L> {
    /// Passes on how good what was passed on is.
    pub(super) fn pass_on_feed(&self) {
        self.relay.pass_on(|| {
            let feed = self.trust.relayed();
            // As long as nothing was heard here, what was restored rests on what was heard before.
            let proof = feed.proof.or_else(|| self.restored.get().map(Restored::last_proof));
            Relayed::Feed(RelayedFeed { proof, ..feed })
        });
    }
}
