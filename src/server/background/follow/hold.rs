//! Holding tenants ahead: every one, or those of some modules.

use std::{
    collections::HashSet, convert::Infallible, future::ready, sync::atomic::Ordering,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::time::{sleep, timeout};

use super::Follow;
use crate::{
    cache::{AheadOutcome, FeedState, HeldAhead, PassedOver},
    domain::{ModuleNames, TenantId},
    server::{background::holding::Holding, jittered},
    store::{LoadTenant, StoreError, TenantKey},
};

/// Tenants that are asked for at the same time: as many as the upstream is asked for at once.
const AT_ONCE: usize = 800;
/// Between two attempts at what could not be read: first, and last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// How long the keys of all tenants may take, over a slow link.
const LIST_PATIENCE: Duration = Duration::from_mins(1);

/// What is to be read.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Every tenant that is not known to be as it is held.
    All,
    /// These.
    Some(HashSet<TenantId>),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Some(HashSet::new())
    }
}

/// What there was no room for when all tenants were looked through.
#[derive(Clone, Copy)]
struct Room {
    /// So many were not asked for.
    beyond: usize,
    /// So many that are held ahead had made room for others before.
    evictions: u64,
}

/// What has become of reading tenants.
#[derive(Default)]
struct Reading {
    /// They could not be read.
    failed: HashSet<TenantId>,
    /// They could be read only as they were, and may have one of the modules by now.
    unsure: HashSet<TenantId>,
    /// For so many there was no room.
    left: usize,
}

/// What is known of the modules whose tenants are held ahead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Modules {
    /// What they are called.
    Known,
    /// What they were called: that may have changed.
    Outdated,
    /// Nothing.
    Unknown,
}

impl Follow<'_> {
    /// This is to be read, where tenants are held ahead.
    pub(super) fn want(&self, more: Wanted) {
        let is_nothing = matches!(&more, Wanted::Some(ids) if ids.is_empty());
        if is_nothing || !self.source.holds_ahead() {
            return;
        }
        let mut wanted = self.wanted.lock();
        match (&mut *wanted, more) {
            (Wanted::Some(ids), Wanted::Some(more)) => ids.extend(more),
            (Wanted::All, _) => {}
            (wanted, Wanted::All) => *wanted = Wanted::All,
        }
        self.wants.notify_one();
    }

    /// It is not known any more which tenants there are.
    pub(super) fn unlist(&self) {
        if self.source.holds_ahead() {
            self.passed_over.lock().clear();
            self.report.lock().holding = Holding::Unlisted;
        }
    }

    /// Modules may be called otherwise now.
    pub(super) fn modules_changed(&self) {
        if !self.source.hold_modules().is_empty() {
            self.wants.notify_one();
        }
    }

    /// Reads what is wanted, and never returns.
    pub(super) async fn read_ahead(&self) -> Infallible {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            self.something_is_wanted().await;
            let modules = self.look_for_modules().await;
            let could_be_read = modules != Modules::Unknown && {
                let wanted = std::mem::take(&mut *self.wanted.lock());
                self.look_through(wanted).await
            };
            if modules != Modules::Known {
                self.wants.notify_one();
            }
            sleep(jittered(pause)).await;
            let is_done = could_be_read && modules == Modules::Known;
            pause = if is_done { shortest } else { (pause * 2).min(longest) };
        }
    }

    /// While no changes are received, who was passed over is looked at again as often as what is held is
    /// read again.
    async fn something_is_wanted(&self) {
        let age = self.api.cache.settings().ttl.to_std().unwrap_or(PAUSES[1]);
        let looks_again = !self.source.hold_modules().is_empty();
        loop {
            tokio::select! {
                () = self.wants.notified() => return,
                () = sleep(age), if looks_again => {
                    if self.api.cache.feed() == FeedState::Off {
                        self.passed_over.lock().clear();
                        self.want(Wanted::All);
                    }
                }
            }
        }
    }

    /// Finds out what the modules are called by now whose tenants are held ahead. Where that is not what
    /// they were called, every tenant is wanted.
    async fn look_for_modules(&self) -> Modules {
        let (cache, codes) = (&self.api.cache, self.source.hold_modules());
        if codes.is_empty() {
            cache.hold_ahead(HeldAhead::Everybody);
            return Modules::Known;
        }
        let catalogue = match cache.catalogue(self.api.clock.now()).await {
            Ok(catalogue) => catalogue,
            Err(error) => {
                tracing::info!(%error, "the modules cannot be read yet: {error}");
                return Modules::Unknown;
            }
        };
        let names = ModuleNames::new(codes.iter().map(String::as_str), &catalogue);
        let whom = HeldAhead::OfModules(names.into());
        if *cache.held_ahead() != whom {
            cache.hold_ahead(whom);
            self.unlist();
            self.want(Wanted::All);
        }
        if !cache.is_current(&catalogue) {
            return Modules::Outdated;
        }
        let is_unknown = |code: &&String| catalogue.module(code).is_none();
        let unknown: Vec<String> = codes.iter().filter(is_unknown).cloned().collect();
        let told = std::mem::replace(&mut *self.unknown_codes.lock(), unknown.clone());
        for code in unknown.iter().filter(|code| !told.contains(code)) {
            tracing::warn!(%code, "--hold-modules names '{code}', which is no module");
        }
        Modules::Known
    }

    /// Reads what is wanted. What cannot be read is wanted still: then it gives `false`.
    async fn look_through(&self, wanted: Wanted) -> bool {
        let evictions = self.api.cache.evictions_ahead();
        let (ids, room) = match wanted {
            Wanted::Some(ids) => (ids.into_iter().collect(), None),
            Wanted::All => match self.every_tenant().await {
                Ok((ids, beyond)) => (ids, Some(Room { beyond, evictions })),
                Err(error) => {
                    tracing::info!(%error, "the tenants cannot be listed yet: {error}");
                    self.want(Wanted::All);
                    return false;
                }
            },
        };
        let Reading { failed, unsure, left } = self.read(ids).await;
        self.is_unsure.fetch_or(!unsure.is_empty(), Ordering::Relaxed);
        let room = room.map(|room| Room { beyond: room.beyond + left, ..room });
        self.note_held(failed.iter().chain(&unsure), room);
        let could_be_read = failed.is_empty() && unsure.is_empty();
        // One that cannot be read is no reason to read the others again.
        self.want(Wanted::Some(failed));
        could_be_read
    }

    /// Notes, and logs, how much is held now that tenants were looked through; `room`: all were.
    fn note_held<'b>(&self, failed: impl Iterator<Item = &'b TenantId>, room: Option<Room>) {
        if matches!(*self.wanted.lock(), Wanted::All) {
            // There may be others by now.
            return;
        }
        let cache = &self.api.cache;
        let mut report = self.report.lock();
        let Room { beyond, evictions } = match (room, report.holding) {
            (Some(room), _) => room,
            (None, Holding::Listed { beyond, evictions, .. }) => Room { beyond, evictions },
            (None, Holding::Used | Holding::Unlisted) => return,
        };
        let unread = failed.filter(|id| !cache.holds(**id)).count();
        let holding = Holding::Listed { unread, beyond, evictions };
        let is_news = std::mem::replace(&mut report.holding, holding) != holding;
        drop(report);
        if let Some(sentence) = holding.sentence(cache).filter(|_| room.is_some() || is_news) {
            tracing::info!(held = cache.len(), missing = holding.missing(cache), "{sentence}");
        }
    }

    /// The tenants that there are and that are perhaps to be held, as far as there is room for them, and
    /// for how many there is none.
    async fn every_tenant(&self) -> Result<(Vec<TenantId>, usize), StoreError> {
        let keys = timeout(LIST_PATIENCE, self.upstream.load_keys()).await;
        let keys = keys.unwrap_or(Err(StoreError::TimedOut))?.value;
        let ids = keys.into_iter().filter_map(|key| match key {
            TenantKey::Id(id) => Some(id),
            TenantKey::Subdomain(_) => None,
        });
        let mut ids: Vec<_> = ids.collect();
        if !self.source.hold_modules().is_empty() {
            // How many of them are to be held shows once they are read.
            ids.retain(|id| !self.passed_over.lock().contains(id));
            return Ok((ids, 0));
        }
        let (tenants, capacity) = (ids.len(), self.api.cache.settings().capacity);
        if tenants > capacity {
            tracing::warn!(
                tenants,
                capacity,
                "there are {tenants} tenants, and --cache-capacity is {capacity}: not all are held"
            );
            ids.truncate(capacity);
        }
        Ok((ids, tenants.saturating_sub(capacity)))
    }

    /// Reads tenants.
    async fn read(&self, ids: Vec<TenantId>) -> Reading {
        let cache = &self.api.cache;
        let evictions = cache.evictions_ahead();
        let is_full =
            || !self.source.hold_modules().is_empty() && cache.evictions_ahead() != evictions;
        let outcomes = stream::iter(ids)
            .map(async |id| {
                // Once they make room for each other, reading more of them gains nothing.
                let outcome =
                    if is_full() { None } else { Some(cache.hold(id, self.api.clock.now()).await) };
                (id, outcome)
            })
            .buffer_unordered(AT_ONCE);
        let mut reading = Reading::default();
        let note = |(id, outcome)| {
            match outcome {
                None => reading.left += 1,
                Some(Err(_)) => _ = reading.failed.insert(id),
                Some(Ok(AheadOutcome::Unsure)) => _ = reading.unsure.insert(id),
                Some(Ok(AheadOutcome::Held)) => _ = self.passed_over.lock().remove(&id),
                Some(Ok(AheadOutcome::PassedOver(how))) => self.pass_over(id, how),
            }
            ready(())
        };
        outcomes.for_each(note).await;
        if reading.left > 0 {
            let capacity = cache.settings().capacity;
            tracing::warn!(
                capacity,
                "--cache-capacity is {capacity}: there is no room for all tenants of the modules"
            );
        }
        reading
    }

    /// Notes that a tenant has none of the modules. While no changes are received nobody would say that it
    /// has got one.
    fn pass_over(&self, id: TenantId, how: PassedOver) {
        let cache = &self.api.cache;
        let mut passed_over = self.passed_over.lock();
        if cache.feed() != FeedState::Off && cache.still_passes_over(id, how) {
            passed_over.insert(id);
        }
    }
}
