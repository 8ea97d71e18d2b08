//! Where all who follow get their batches from: the last ones are kept, each once for all of them.
//!
//! A follower is a number, that of the last batch it has had. Whoever is slow costs nothing, and is
//! told to begin anew once what it lacks is not kept any more.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{
        Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, OwnedSemaphorePermit, Semaphore, watch,
    },
    time::{Instant, timeout_at},
};

use super::{
    Missed,
    batch::{Batch, Changes, Gathered, Position},
};
use crate::{
    cache::{Cache, FeedState, RelayedFeed, Relaying},
    store::{LoadTenant, TenantKey},
};

/// After the first thing that is learned others follow: a change, and then the facts.
const GATHER: Duration = Duration::from_millis(5);
/// Batches follow each other at this distance at least, or at so much for each who follows if that is more: sending
/// one to each takes some 16 µs, so that a third of a core is left to others, however many there are.
const BETWEEN_BATCHES: Duration = Duration::from_millis(25);
const FOR_EACH_FOLLOWER: Duration = Duration::from_micros(25);
/// Tenants in a batch, at most.
const MAX_TENANTS: usize = 1_000;

/// Those who list the keys of all tenants at the same time, at most: others come back a second later.
const MAX_LISTING: usize = 64;
/// How long the keys of all tenants are kept for others who want them: thousands may begin at once.
const KEYS_MAX_AGE: Duration = Duration::from_secs(5);

/// Batches that are kept at most, for those that come back: some minutes of them.
const MAX_BATCHES: usize = 16_384;
/// The same of the tenants in them.
const MAX_KEPT_TENANTS: usize = 50_000;
/// The same of marks.
const MAX_MARKS: usize = 4_096;

/// Where batches are. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Mutex<Kept>,
    /// The places of those who list them.
    listing: Arc<Semaphore>,
    /// Locked while somebody reads them.
    keys: AsyncMutex<Option<Keys>>,
    /// What those had missed who asked for it, by their marks, the last first. Locked while somebody
    /// asks the database: others may have missed the same.
    missed: AsyncMutex<VecDeque<(Arc<[u8]>, Missed)>>,
    /// How often there was something new.
    news: watch::Sender<u64>,
    runtime: Handle,
}

/// The keys of all tenants.
#[derive(Debug)]
struct Keys {
    all: Arc<[TenantKey]>,
    read_at: Instant,
    /// How often the set of tenants had changed by then.
    directory: u64,
}

#[derive(Debug)]
struct Kept {
    /// How often the set of tenants has changed.
    directory: u64,
    batches: VecDeque<Arc<Batch>>,
    /// The tenants in them.
    tenants: usize,
    /// Marks, each with the number of a batch after which is all that came after the mark.
    marks: VecDeque<(Arc<[u8]>, u64)>,
    /// Where one is that has had all batches.
    position: Position,
    /// How good that is; `None`: nothing was gathered yet.
    feed: Option<RelayedFeed>,
}

/// What comes after a position.
pub(super) enum Next {
    Batch(Arc<Batch>),
    /// What does is not kept any more.
    Gone,
    /// Nothing as yet, and how good what was sent is.
    Nothing(Position, Option<RelayedFeed>),
}

impl Hub {
    /// One that gathers nothing until somebody follows. It does so on this runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        let position = Position { instance: fastrand::u64(1..), ..Position::default() };
        let kept = Kept {
            directory: 0,
            batches: VecDeque::new(),
            tenants: 0,
            marks: VecDeque::new(),
            position,
            feed: None,
        };
        Self(Arc::new(Inner {
            kept: kept.into(),
            listing: Arc::new(Semaphore::new(MAX_LISTING)),
            keys: AsyncMutex::default(),
            missed: AsyncMutex::default(),
            news: watch::Sender::new(0),
            runtime,
        }))
    }

    /// Begins to gather, unless it does already.
    pub(super) fn gather<L: LoadTenant>(&self, cache: &Cache<L>) {
        if let Some(relaying) = cache.relay() {
            self.0.runtime.spawn(self.clone().run(relaying));
        }
    }

    /// Tells that there is something new.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// A place to list the keys of all tenants; `None`: others have them all.
    pub(super) fn place_to_list(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.listing).try_acquire_owned().ok()
    }

    /// The keys of all tenants, as somebody else has read them a moment ago, or by `reading`. Whoever
    /// follows is sent the facts of tenants that are newer.
    pub(super) async fn keys<E>(
        &self,
        reading: impl Future<Output = Result<Vec<TenantKey>, E>>,
    ) -> Result<Arc<[TenantKey]>, E> {
        let mut held = self.0.keys.lock().await;
        let directory = self.0.kept.lock().directory;
        let is_good =
            |held: &&Keys| held.directory == directory && held.read_at.elapsed() < KEYS_MAX_AGE;
        if let Some(held) = held.as_ref().filter(is_good) {
            return Ok(Arc::clone(&held.all));
        }
        let read_at = Instant::now();
        let all: Arc<[TenantKey]> = reading.await?.into();
        *held = Some(Keys { all: Arc::clone(&all), read_at, directory });
        Ok(all)
    }

    /// The number of this instance.
    pub(in crate::service) fn instance(&self) -> u64 {
        self.0.kept.lock().position.instance
    }

    /// What others had missed.
    pub(super) async fn missed(&self) -> AsyncMutexGuard<'_, VecDeque<(Arc<[u8]>, Missed)>> {
        self.0.missed.lock().await
    }

    pub(super) fn position(&self) -> Position {
        self.0.kept.lock().position.clone()
    }

    /// What comes after the batch with this number.
    pub(super) fn after(&self, sequence: u64) -> Next {
        let kept = self.0.kept.lock();
        let behind = kept.position.sequence.saturating_sub(sequence);
        if behind == 0 {
            return Next::Nothing(kept.position.clone(), kept.feed);
        }
        let index =
            usize::try_from(behind).ok().and_then(|behind| kept.batches.len().checked_sub(behind));
        index
            .and_then(|index| kept.batches.get(index))
            .map_or(Next::Gone, |batch| Next::Batch(Arc::clone(batch)))
    }

    /// The number of the last batch that somebody has had who is at this position, be it of another
    /// instance; `None`: that is not known here.
    pub(super) fn sequence_at(&self, position: &Position) -> Option<u64> {
        let kept = self.0.kept.lock();
        let last = kept.position.sequence;
        if position.instance == kept.position.instance {
            let first = last - kept.batches.len() as u64;
            return (first..=last).contains(&position.sequence).then_some(position.sequence);
        }
        // An empty one is of nobody.
        let mark = Some(&position.mark).filter(|mark| !mark.is_empty())?;
        let found = kept.marks.iter().find(|(known, _)| known == mark);
        let sequence = found.map(|(_, sequence)| *sequence)?;
        (last - sequence <= kept.batches.len() as u64).then_some(sequence)
    }

    async fn run(self, mut relaying: Relaying) -> Infallible {
        let mut gathered = Gathered::default();
        self.0.kept.lock().position.mark = Arc::clone(relaying.mark());
        let mut last = Instant::now();
        loop {
            gathered.add(relaying.next().await);
            let until = (Instant::now() + GATHER).max(last + self.between_batches());
            while gathered.changes.len() < MAX_TENANTS
                && let Ok(relayed) = timeout_at(until, relaying.next()).await
            {
                gathered.add(relayed);
            }
            last = Instant::now();
            self.publish(&mut gathered);
        }
    }

    fn between_batches(&self) -> Duration {
        let followers = u32::try_from(self.0.news.receiver_count()).unwrap_or(u32::MAX);
        BETWEEN_BATCHES.max(FOR_EACH_FOLLOWER.saturating_mul(followers))
    }

    fn publish(&self, gathered: &mut Gathered) {
        let changes = std::mem::take(&mut gathered.changes);
        let mut kept = self.0.kept.lock();
        if let Some(mark) = gathered.mark.take() {
            kept.reach(mark);
        }
        let state = |feed: Option<RelayedFeed>| feed.map(|feed| feed.state);
        let before = state(kept.feed);
        if let Some(feed) = gathered.feed.take() {
            kept.feed = Some(feed);
        }
        let is_news = !changes.is_empty() || state(kept.feed) != before;
        if !changes.is_empty() {
            kept.add(changes);
        }
        drop(kept);
        if is_news {
            self.0.news.send_modify(|count| *count += 1);
        }
    }
}

impl Kept {
    /// Some of what is about to be added came before the mark, and some perhaps after it.
    fn reach(&mut self, mark: Arc<[u8]>) {
        if self.position.mark != mark {
            self.marks.push_back((Arc::clone(&mark), self.position.sequence));
            if self.marks.len() > MAX_MARKS {
                self.marks.pop_front();
            }
            self.position.mark = mark;
        }
    }

    fn add(&mut self, changes: Changes) {
        self.position.sequence += 1;
        self.directory += u64::from(changes.directory || changes.reset);
        self.tenants += changes.len();
        let (position, encoded) = (self.position.clone(), OnceLock::new());
        self.batches.push_back(Arc::new(Batch { position, changes, encoded }));
        while self.batches.len() > MAX_BATCHES || self.tenants > MAX_KEPT_TENANTS {
            let Some(dropped) = self.batches.pop_front() else { break };
            self.tenants -= dropped.changes.len();
        }
    }
}

/// Can a heartbeat be made of it?
pub(super) fn is_heard(feed: &RelayedFeed) -> bool {
    feed.proof.is_some() || feed.state == FeedState::Off
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::Relayed, domain::TenantId, store::Change};

    fn mark(text: &str) -> Relayed {
        Relayed::Mark(Arc::from(text.as_bytes()))
    }

    fn change(number: u128) -> Relayed {
        let id = TenantId::from(uuid::Uuid::from_u128(number));
        Relayed::Change(Change::Tenant(id))
    }

    fn at(hub: &Hub, instance: u64, sequence: u64, text: &str) -> Option<u64> {
        let mark = Arc::from(text.as_bytes());
        hub.sequence_at(&Position { instance, sequence, mark })
    }

    #[tokio::test]
    async fn what_came_after_a_mark_is_sent_again_rather_than_left_out() {
        let hub = Hub::new(Handle::current());
        let mut gathered = Gathered::default();
        let mut publish = |all: Vec<Relayed>| {
            for relayed in all {
                gathered.add(Some(relayed));
            }
            hub.publish(&mut gathered);
        };
        publish(vec![change(1), mark("one"), change(2)]);
        publish(vec![change(3)]);
        publish(vec![mark("two")]);
        publish(vec![mark("three")]);
        publish(vec![change(4)]);
        let own = hub.position();
        assert_eq!(own.sequence, 3);
        for (text, sequence) in
            [("one", Some(0)), ("two", Some(2)), ("three", Some(2)), ("four", None), ("", None)]
        {
            assert_eq!(at(&hub, 0, 99, text), sequence, "{text:?}, of another instance");
        }
        for (sequence, known) in [(0, Some(0)), (3, Some(3)), (4, None)] {
            assert_eq!(at(&hub, own.instance, sequence, "whatever"), known);
        }
    }

    #[tokio::test]
    async fn who_is_slow_is_told_to_begin_anew_and_what_is_kept_is_bounded() {
        let hub = Hub::new(Handle::current());
        let mut gathered = Gathered::default();
        for number in 0..=MAX_BATCHES as u128 {
            gathered.add(Some(change(number)));
            hub.publish(&mut gathered);
        }
        assert!(matches!(hub.after(0), Next::Gone));
        assert!(matches!(hub.after(1), Next::Batch(batch) if batch.position.sequence == 2));
        assert!(matches!(hub.after(hub.position().sequence), Next::Nothing(..)));
        let instance = hub.position().instance;
        assert_eq!((at(&hub, instance, 0, ""), at(&hub, instance, 1, "")), (None, Some(1)));
        assert_eq!(hub.0.kept.lock().batches.len(), MAX_BATCHES);
    }
}
