//! Keys that are fetched by another part of the program: the set of one issuer, as last read.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::keys::{AddedKeys, InvalidKeys, KeySet};

/// A token with an unknown key causes the set to be fetched again, but not sooner than this after
/// the previous time: anybody can write a token with a made-up key id.
const REFRESH_NO_SOONER: TimeDelta = TimeDelta::seconds(10);

/// How long a token waits for the set.
const PATIENCE: Duration = Duration::from_secs(2);

/// The keys of one issuer, which are fetched. The fetcher calls [`Self::replace`] or
/// [`Self::failed`], and waits for [`Self::wanted`] in between.
pub struct RemoteKeys {
    issuer: Option<String>,
    keys: ArcSwapOption<KeySet>,
    state: Mutex<KeysState>,
    tried: watch::Sender<()>,
    wanted: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct KeysState {
    tried_at: Option<DateTime<Utc>>,
    fetched_at: Option<DateTime<Utc>>,
    failures: u64,
}

impl RemoteKeys {
    pub(super) fn new(issuer: Option<String>) -> Self {
        let (tried, _) = watch::channel(());
        Self {
            issuer,
            keys: ArcSwapOption::empty(),
            state: Mutex::default(),
            tried,
            wanted: Notify::new(),
        }
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// Replaces the set with one that was fetched `now`: keys that are not in it are no longer
    /// valid. Something that is not a set, or has no keys at all, changes nothing.
    pub fn replace(&self, json: &[u8], now: DateTime<Utc>) -> Result<AddedKeys, InvalidKeys> {
        let keys = KeySet::of_jwks(json)?;
        let taken = keys.taken();
        self.keys.store(Some(Arc::new(keys)));
        self.state.lock().fetched_at = Some(now);
        self.tell(now);
        Ok(taken)
    }

    /// The set could not be fetched, or not be used: the previous one stays valid.
    pub fn failed(&self, now: DateTime<Utc>) {
        self.state.lock().failures += 1;
        self.tell(now);
    }

    fn tell(&self, now: DateTime<Utc>) {
        self.state.lock().tried_at = Some(now);
        self.tried.send_replace(());
    }

    /// Waits until a token with an unknown key arrives.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// When the set was last fetched, and how often fetching has failed.
    pub fn report(&self) -> (Option<DateTime<Utc>>, u64) {
        let state = *self.state.lock();
        (state.fetched_at, state.failures)
    }

    /// Requests that the set is fetched again, and waits for it. `false`: it was tried a moment
    /// ago, or takes too long.
    pub(super) async fn refresh(&self, now: DateTime<Utc>) -> bool {
        let mut tried = self.tried.subscribe();
        if self.state.lock().tried_at.is_some_and(|tried_at| now - tried_at < REFRESH_NO_SOONER) {
            return false;
        }
        self.wanted.notify_one();
        matches!(tokio::time::timeout(PATIENCE, tried.changed()).await, Ok(Ok(())))
    }
}
