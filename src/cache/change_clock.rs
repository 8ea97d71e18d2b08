//! When each thing last changed, so that a load which began before a change was received is not
//! kept.

use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

use rustc_hash::FxBuildHasher;

use crate::{
    domain::TenantId,
    store::{Source, TenantKey},
};

/// Tenants share this many counters. If two share one, a load may be discarded needlessly, and that
/// is all.
const SHARES: u64 = 4096;

/// Changes are numbered as they come in. A load notes the number at which it begins.
#[derive(Debug)]
pub(super) struct ChangeClock {
    count: AtomicU64,
    /// The number of the last change of everything.
    everything: AtomicU64,
    /// The number of the last change of the set of tenants.
    directory: AtomicU64,
    tenants: Box<[AtomicU64]>,
}

/// The number of the last change before a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadStart(u64);

impl ChangeClock {
    pub(super) fn new() -> Self {
        let tenants = (0..SHARES).map(|_| AtomicU64::new(0)).collect();
        Self { count: 0.into(), everything: 0.into(), directory: 0.into(), tenants }
    }

    pub(super) fn begin(&self) -> LoadStart {
        LoadStart(self.count())
    }

    pub(super) fn tenant_changed(&self, id: TenantId) {
        self.note(self.share(id));
    }

    pub(super) fn directory_changed(&self) {
        self.note(&self.directory);
    }

    pub(super) fn everything_changed(&self) {
        self.note(&self.everything);
    }

    /// The number of the last change.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Where tenants may be loaded from: whatever holds the last change of each of them.
    pub(super) fn source_for(&self, keys: &[TenantKey]) -> Source {
        let last = |key: &TenantKey| match key {
            TenantKey::Id(id) => self.share(*id).load(Ordering::SeqCst),
            TenantKey::Subdomain(_) => self.count(),
        };
        let everything = self.everything.load(Ordering::SeqCst);
        Source::AnyThatHolds(keys.iter().map(last).max().unwrap_or_default().max(everything))
    }

    /// Has a change of this tenant been received since?
    pub(super) fn since(&self, start: LoadStart, id: TenantId) -> bool {
        is_later(&self.everything, start) || is_later(self.share(id), start)
    }

    /// Has a change of the set of tenants been received since?
    pub(super) fn of_directory_since(&self, start: LoadStart) -> bool {
        is_later(&self.everything, start) || is_later(&self.directory, start)
    }

    fn note(&self, share: &AtomicU64) {
        share.fetch_max(self.count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn share(&self, id: TenantId) -> &AtomicU64 {
        let share = FxBuildHasher.hash_one(id) % SHARES;
        // There are as many, and there is a first.
        usize::try_from(share)
            .ok()
            .and_then(|share| self.tenants.get(share))
            .unwrap_or(&self.tenants[0])
    }
}

fn is_later(share: &AtomicU64, LoadStart(count): LoadStart) -> bool {
    share.load(Ordering::SeqCst) > count
}
