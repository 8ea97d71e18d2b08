//! Those who watch: everything that changes, or certain tenants.
//!
//! A change of one tenant costs in proportion to the watchers of that tenant, not to all of them:
//! of a thousand watchers who name a thousand tenants each, it wakes the few that it concerns.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use tokio::sync::{broadcast, mpsc};

use super::Event;
use crate::domain::TenantId;

/// How many events a watcher may fall behind by before it must check everything again.
pub(super) const MAX_UNREAD: usize = 1024;

/// What a watcher receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received {
    /// An event.
    Event(Event),
    /// The watcher was too slow, and events were dropped.
    Lagged,
}

/// The cache's end of the channels.
#[derive(Clone, Debug)]
pub(super) struct Watchers {
    all: broadcast::Sender<Event>,
    named: Arc<RwLock<ByName>>,
}

#[derive(Debug, Default)]
struct ByName {
    next: u64,
    /// Everybody who has named tenants, by number.
    boxes: HashMap<u64, Arc<Letterbox>>,
    tenants: HashMap<TenantId, HashMap<u64, Arc<Letterbox>>>,
}

/// The destination of one watcher's events.
#[derive(Debug)]
struct Letterbox {
    sender: mpsc::Sender<Event>,
    lagged: Arc<AtomicBool>,
}

impl Letterbox {
    fn put(&self, event: Event) {
        if self.sender.try_send(event).is_err() {
            self.lagged.store(true, Ordering::Release);
        }
    }
}

/// A watcher's end of the channel.
#[derive(Debug)]
pub struct Events(Kind);

#[derive(Debug)]
enum Kind {
    All(broadcast::Receiver<Event>),
    Named(Named),
}

#[derive(Debug)]
struct Named {
    number: u64,
    tenants: Arc<HashSet<TenantId>>,
    receiver: mpsc::Receiver<Event>,
    lagged: Arc<AtomicBool>,
    registry: Arc<RwLock<ByName>>,
}

impl Watchers {
    pub(super) fn new() -> Self {
        Self { all: broadcast::Sender::new(MAX_UNREAD), named: Arc::default() }
    }

    /// Watches these tenants, and what concerns all of them; `tenants` is empty: everything.
    pub(super) fn watch(&self, tenants: Arc<HashSet<TenantId>>) -> Events {
        if tenants.is_empty() {
            return Events(Kind::All(self.all.subscribe()));
        }
        let (sender, receiver) = mpsc::channel(MAX_UNREAD);
        let lagged = Arc::<AtomicBool>::default();
        let mut named = self.named.write();
        named.next += 1;
        let number = named.next;
        let letterbox = Arc::new(Letterbox { sender, lagged: Arc::clone(&lagged) });
        for tenant in &*tenants {
            named.tenants.entry(*tenant).or_default().insert(number, Arc::clone(&letterbox));
        }
        named.boxes.insert(number, letterbox);
        drop(named);
        Events(Kind::Named(Named {
            number,
            tenants,
            receiver,
            lagged,
            registry: Arc::clone(&self.named),
        }))
    }

    /// The number of watchers.
    pub(super) fn count(&self) -> usize {
        self.all.receiver_count() + self.named.read().boxes.len()
    }

    /// Does anybody watch this tenant?
    pub(super) fn has_watchers_of(&self, tenant: TenantId) -> bool {
        self.all.receiver_count() > 0 || self.named.read().tenants.contains_key(&tenant)
    }

    /// Notifies the watchers that the event concerns.
    pub(super) fn notify(&self, event: Event) {
        // Fails if nobody watches everything.
        _ = self.all.send(event);
        let named = self.named.read();
        match event {
            Event::Tenant(tenant, _) => {
                let concerned = named.tenants.get(&tenant).into_iter().flat_map(HashMap::values);
                concerned.for_each(|letterbox| letterbox.put(event));
            }
            Event::Catalogue(_) | Event::Reset | Event::Doubt | Event::FeedOff => {
                named.boxes.values().for_each(|letterbox| letterbox.put(event));
            }
        }
    }
}

impl Events {
    /// Waits for the next event; `None`: there will be none.
    pub async fn next(&mut self) -> Option<Received> {
        match &mut self.0 {
            Kind::All(events) => match events.recv().await {
                Ok(event) => Some(Received::Event(event)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(Received::Lagged),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            Kind::Named(named) => {
                if named.lagged.swap(false, Ordering::Acquire) {
                    return Some(Received::Lagged);
                }
                named.receiver.recv().await.map(Received::Event)
            }
        }
    }

    /// The next event, if there is one already.
    pub fn next_now(&mut self) -> Option<Received> {
        match &mut self.0 {
            Kind::All(events) => match events.try_recv() {
                Ok(event) => Some(Received::Event(event)),
                Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Received::Lagged),
                Err(
                    broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed,
                ) => None,
            },
            Kind::Named(named) => {
                if named.lagged.swap(false, Ordering::Acquire) {
                    return Some(Received::Lagged);
                }
                named.receiver.try_recv().ok().map(Received::Event)
            }
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut registry = self.registry.write();
        registry.boxes.remove(&self.number);
        for tenant in &*self.tenants {
            if let Some(letterboxes) = registry.tenants.get_mut(tenant) {
                letterboxes.remove(&self.number);
                if letterboxes.is_empty() {
                    registry.tenants.remove(tenant);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u128) -> TenantId {
        uuid::Uuid::from_u128(number).into()
    }

    fn named<const N: usize>(tenants: [TenantId; N]) -> Arc<HashSet<TenantId>> {
        Arc::new(tenants.into())
    }

    fn heard(events: &mut Events) -> Vec<Received> {
        std::iter::from_fn(|| events.next_now()).collect()
    }

    #[test]
    fn a_change_of_a_tenant_reaches_those_who_named_it_and_those_who_watch_all() {
        let watching = Watchers::new();
        let mut one = watching.watch(named([tenant(1), tenant(2)]));
        let mut other = watching.watch(named([tenant(2)]));
        let mut all = watching.watch(Arc::default());
        assert_eq!(watching.count(), 3);
        for event in [Event::Tenant(tenant(1), 5), Event::Tenant(tenant(3), 6), Event::Catalogue(7)]
        {
            watching.notify(event);
        }
        let [first, third, catalogue] =
            [Event::Tenant(tenant(1), 5), Event::Tenant(tenant(3), 6), Event::Catalogue(7)]
                .map(Received::Event);
        assert_eq!(heard(&mut one), [first, catalogue]);
        assert_eq!(heard(&mut other), [catalogue]);
        assert_eq!(heard(&mut all), [first, third, catalogue]);
    }

    #[test]
    fn one_who_is_too_slow_is_told_so_and_hears_again() {
        let watching = Watchers::new();
        let mut slow = watching.watch(named([tenant(1)]));
        for revision in 0..2 * MAX_UNREAD as u64 {
            watching.notify(Event::Tenant(tenant(1), revision));
        }
        let told = heard(&mut slow);
        assert_eq!((told.first(), told.len()), (Some(&Received::Lagged), 1 + MAX_UNREAD));
        watching.notify(Event::Reset);
        assert_eq!(heard(&mut slow), [Received::Event(Event::Reset)]);
    }

    #[test]
    fn nothing_is_left_of_one_who_is_gone() {
        let watching = Watchers::new();
        let (one, other) =
            (watching.watch(named([tenant(1), tenant(2)])), watching.watch(named([tenant(2)])));
        drop(one);
        assert!(!watching.has_watchers_of(tenant(1)) && watching.has_watchers_of(tenant(2)));
        drop(other);
        let left = watching.named.read();
        assert!(left.boxes.is_empty() && left.tenants.is_empty());
    }
}
