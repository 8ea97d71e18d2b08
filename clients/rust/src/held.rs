//! What is held of tenants: pure, time is an argument.

mod denials;
mod features;
mod slot;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use uuid::Uuid;

pub(crate) use self::features::feature_name;
use self::slot::{HeldList, Id, Slot, Wanted};
use crate::{
    Answer, Resolved,
    bounded::Bounded,
    clock::{Micros, NEVER, is_no_longer_ago, is_within},
    list::{List, Told},
    stream::Stream,
};

/// When and where a question began, for what its answer is worth.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Began {
    pub(crate) at: Micros,
    pub(crate) era: u64,
    /// The last news of the tenant before it.
    pub(crate) news: u64,
    /// The answer must be at least this fresh: the revision that the news announced.
    pub(crate) min_revision: u64,
    /// Another server may have given it, which had not received everything yet: it is good for its
    /// `max_age` only, and nobody vouches for it afterwards.
    pub(crate) is_settling: bool,
}

/// The answer to "who is it?", for one set of credentials.
#[derive(Clone, Debug)]
struct HeldResolved {
    resolved: Resolved,
    told: Told,
    began: Began,
}

/// Everything that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) stream: Stream,
    tenants: Bounded<Id, Slot>,
    /// News of tenants, whether or not anything is held of them: who is told of many must not lose
    /// what it holds of others.
    announced: Bounded<Id, Wanted>,
    resolved: Bounded<u128, HeldResolved>,
    news: AtomicU64,
    /// Of the catalogue.
    catalogue: Mutex<Wanted>,
}

/// What is held of a question about a module, or about one of its features.
pub(crate) enum Look<T = Answer> {
    Answer(T),
    /// The list is good, and does not grant: the server knows why.
    AskWhy,
    AskForList,
}

impl Held {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            stream: Stream::default(),
            tenants: Bounded::new(capacity),
            announced: Bounded::new(capacity),
            resolved: Bounded::new(capacity),
            news: 1.into(),
            catalogue: Mutex::default(),
        }
    }

    pub(crate) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// What can be answered at once. On the way to a grant nothing is allocated.
    pub(crate) fn look(&self, tenant: Uuid, module: &str, min_revision: u64, now: Micros) -> Look {
        let look = |slot: &Slot| self.look_at(slot, module, min_revision, now);
        self.tenants.look(&Id(tenant), look).unwrap_or(Look::AskForList)
    }

    fn look_at(&self, slot: &Slot, module: &str, min_revision: u64, now: Micros) -> Look {
        let good = slot.list.as_ref().filter(|held| self.is_good(held, min_revision, now));
        if let Some(answer) = good.and_then(|held| held.list.grant(module, now)) {
            return Look::Answer(answer);
        }
        let is_it = |about: &str| about == module;
        match (self.good_denial(slot, is_it, min_revision, now), good) {
            (Some(denial), _) => Look::Answer(denial.answer.clone()),
            (None, Some(_)) => Look::AskWhy,
            (None, None) => Look::AskForList,
        }
    }

    /// The list, if it is good.
    pub(crate) fn list(&self, tenant: Uuid, min_revision: u64, now: Micros) -> Option<List> {
        let good = |held: &&HeldList| self.is_good(held, min_revision, now);
        self.tenants
            .look(&Id(tenant), |slot| slot.list.as_ref().filter(good).map(|held| held.list.clone()))
            .flatten()
    }

    /// The list, whatever has become of it, if the server vouched for it no longer ago than `most`.
    /// Not one that is known to have been replaced.
    pub(crate) fn stale_list(
        &self,
        tenant: Uuid,
        min_revision: u64,
        most: Micros,
        now: Micros,
    ) -> Option<List> {
        let held = self.tenants.look(&Id(tenant), |slot| slot.list.clone()).flatten()?;
        if held.list.told.revision < min_revision.max(held.announced) {
            return None;
        }
        let vouched = match held.outdated {
            NEVER => self.vouched(held.began),
            vouched => vouched.max(held.began.at),
        };
        is_no_longer_ago(most, vouched, now).then_some(held.list)
    }

    fn is_good(&self, held: &HeldList, min_revision: u64, now: Micros) -> bool {
        let HeldList { list: List { told, .. }, began, outdated, .. } = held;
        if *outdated != NEVER || now >= told.valid_until || told.revision < min_revision {
            return false;
        }
        let is_vouched_for = !told.stale && self.vouches(*began, now);
        is_vouched_for || self.is_young(*began, told.max_age, now)
    }

    /// Would every change of it since have been received?
    fn vouches(&self, began: Began, now: Micros) -> bool {
        !began.is_settling && self.stream.vouches(began.era, now)
    }

    /// Until when the server vouched for it.
    fn vouched(&self, Began { at, era, is_settling, .. }: Began) -> Micros {
        if is_settling { at } else { self.stream.vouched(era).max(at) }
    }

    /// May it be held for its `max_age`, and is it younger? While a stream says how often it is to be
    /// heard, that ends where it ceases to be.
    fn is_young(&self, began: Began, max_age: Micros, now: Micros) -> bool {
        is_within(max_age, began.at, now)
            && !self.stream.has_outdated(began.era)
            && !self.stream.is_doubted(began.era, began.at, now)
    }

    /// A question about a tenant begins.
    pub(crate) fn begin(&self, tenant: Uuid, min_revision: u64, now: Micros) -> Began {
        // The era first: what is told after that is told to the answer.
        let era = self.stream.era();
        let (news, wanted) = self.see_or_make(tenant, |slot| (slot.news, slot.wanted));
        let wanted = wanted.in_history(self.stream.history());
        let is_settling = self.stream.is_settling(now);
        Began { at: now, era, news, min_revision: min_revision.max(wanted), is_settling }
    }

    /// What is seen in the tenant's slot. From now on news of it is noted there.
    fn see_or_make<R>(&self, tenant: Uuid, see: impl Fn(&Slot) -> R) -> R {
        let id = Id(tenant);
        let seen = self.tenants.look(&id, &see);
        seen.unwrap_or_else(|| self.tenants.with(id, || self.slot(id), |slot| see(slot)))
    }

    fn slot(&self, id: Id) -> Slot {
        let wanted = self.announced.look(&id, |wanted| *wanted).unwrap_or_default();
        Slot { news: self.last_news(), wanted, list: None, denials: Vec::new() }
    }

    /// The number of the last news of anything.
    pub(crate) fn last_news(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }

    /// Keeps a list, unless news came while it was asked for: of the tenant, or of everything.
    pub(crate) fn keep_list(&self, tenant: Uuid, list: List, began: Began) {
        self.tenants.change(Id(tenant), |slot| {
            if slot.news == began.news && !self.stream.has_outdated(began.era) {
                slot.list = Some(HeldList { list, began, outdated: NEVER, announced: 0 });
            }
        });
    }

    /// A tenant has changed, and an answer with this revision is fresh; 0: nobody knows.
    pub(crate) fn tenant_changed(&self, tenant: Uuid, revision: u64) {
        let told = Wanted { revision, history: self.stream.history() };
        // First: whoever makes the slot afterwards finds it, and a slot that was made before is
        // found below.
        let wanted = self.announced.with(Id(tenant), || told, |place| place.raise(told));
        // What is held may have it already: an answer can be faster than the news, and news can
        // come twice.
        let has_it = |held: u64| revision > 0 && held >= revision;
        self.tenants.change(Id(tenant), |slot| {
            slot.wanted = wanted;
            slot.news = self.next_news();
            slot.denials.retain(|denial| has_it(denial.answer.revision));
            if let Some(held) = slot.list.as_mut().filter(|held| !has_it(held.list.told.revision)) {
                if held.outdated == NEVER {
                    held.outdated = self.vouched(held.began);
                }
                held.announced = held.announced.max(revision);
            }
        });
        // For what is asked without knowing about whom: there may be no slot that says so.
        self.next_news();
    }

    /// The catalogue has changed, and an answer with this revision of it is fresh; 0: nobody knows.
    pub(crate) fn catalogue_changed(&self, revision: u64, now: Micros) {
        self.catalogue.lock().raise(Wanted { revision, history: self.stream.history() });
        if revision == 0 {
            self.stream.settle(now);
        }
        self.stream.outdate();
    }

    /// Has whoever answered with this revision of the catalogue received its last change, as far as
    /// is known? Another server may not have.
    pub(crate) fn is_catalogue_current(&self, revision: u64) -> bool {
        revision == 0 || revision >= self.catalogue.lock().in_history(self.stream.history())
    }

    fn next_news(&self) -> u64 {
        self.news.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The list did not know what the server knows: it is asked for again.
    pub(crate) fn doubt(&self, tenant: Uuid) {
        self.tenant_changed(tenant, 0);
    }

    /// Who it is, as far as it is held.
    pub(crate) fn resolved(&self, credentials: u128, now: Micros) -> Option<Resolved> {
        self.resolved.look(&credentials, |held| self.good_resolved(held, now)).flatten()
    }

    fn good_resolved(&self, held: &HeldResolved, now: Micros) -> Option<Resolved> {
        let HeldResolved { resolved, told, began } = held;
        let is_vouched_for = !told.stale && self.vouches(*began, now);
        let is_good =
            now < told.valid_until && (is_vouched_for || self.is_young(*began, told.max_age, now));
        (is_good && !self.has_changed(held)).then(|| resolved.clone())
    }

    /// Has the tenant changed since, as far as is known? A slot that was evicted does not know.
    fn has_changed(&self, HeldResolved { resolved, began, .. }: &HeldResolved) -> bool {
        let news = self.tenants.look(&Id(resolved.tenant.id), |slot| slot.news);
        news.is_none_or(|news| news != began.news)
    }

    /// Who it is, if the server vouched for that no longer ago than `most`. Not if the tenant has
    /// changed since, and never after its token has expired.
    pub(crate) fn stale_resolved(
        &self,
        credentials: u128,
        most: Micros,
        now: Micros,
    ) -> Option<Resolved> {
        let held = self.resolved.look(&credentials, HeldResolved::clone)?;
        let vouched = self.vouched(held.began);
        let is_of_use = now < held.told.valid_until && is_no_longer_ago(most, vouched, now);
        (is_of_use && !self.has_changed(&held)).then_some(held.resolved)
    }

    /// The server has refused these credentials.
    pub(crate) fn forget_resolved(&self, credentials: u128) {
        self.resolved.remove(&credentials);
    }

    /// Keeps who it is, unless news of the tenant came while it was asked for (`began.news` is that
    /// of anything), or the answer is older than what was announced: another server may have given
    /// it, which had not received the change.
    pub(crate) fn keep_resolved(
        &self,
        credentials: u128,
        resolved: Resolved,
        told: Told,
        began: Began,
    ) {
        let (news, wanted) = self.see_or_make(resolved.tenant.id, |slot| (slot.news, slot.wanted));
        let is_old = told.revision < wanted.in_history(self.stream.history());
        if news <= began.news && !is_old && !self.stream.has_outdated(began.era) {
            let held = HeldResolved { resolved, told, began: Began { news, ..began } };
            self.resolved.with(credentials, || held.clone(), |place| *place = held.clone());
        }
    }
}

#[cfg(test)]
mod tests;
