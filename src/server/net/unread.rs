//! Answers that are made and not yet taken by their peer: what memory they hold, and whether they
//! go on.
//!
//! h2 keeps what it cannot send for as long as the stream's window says, and the window is the
//! peer's. Requests of a connection that holds too much wait (`counted`), and a stream that does
//! not go on is reset, by itself: its connection has others (`stalling`).

use std::{
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper::body::{Buf, Bytes};
use tokio::sync::Notify;

/// A stream, or a connection, of which the peer takes nothing for this long ends.
pub(crate) const MAX_STALL: Duration = Duration::from_secs(30);
/// What one connection's answers may hold whatever others hold, in bytes.
const SHARE: usize = 64 * 1024;
/// What they may hold while there is room in the pool. A single answer may be larger.
const MAX_PER_CONNECTION: usize = 1024 * 1024;
/// What all answers may hold beyond their connections' shares, in bytes.
const POOL: usize = 256 * 1024 * 1024;
/// What an answer is not counted for that holds no more, in bytes: its stream takes as much, and
/// their number is bounded.
const MIN_COUNTED: usize = 1024;
/// An answer is handed to h2 in parts of at most this size, in bytes, so that each that is taken
/// shows.
const MAX_PART: usize = 4 * 1024;

/// What unread answers hold beyond their connections' shares, in bytes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadPool(Arc<AtomicUsize>);

impl UnreadPool {
    /// A connection holds more, or less. What stays within its share is not counted here: all
    /// threads share this.
    fn changed(&self, before: usize, after: usize) {
        let [before, after] = [before, after].map(|held| held.saturating_sub(SHARE));
        if after > before {
            self.0.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.0.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

/// The unread answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pool: UnreadPool,
    /// In bytes.
    held: AtomicUsize,
    room: Notify,
    waits_for: AtomicU8,
    /// Looks so far.
    looks: AtomicUsize,
    /// Parts that h2 has not sent yet, by the look after which it was handed them.
    unsent: [AtomicUsize; REMEMBERED_LOOKS],
}

/// How often it is looked whether h2 keeps parts that it cannot send.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A part that is there at so many looks has been kept for 30 to 40 seconds.
const REMEMBERED_LOOKS: usize = 4;

/// Where a connection holds too much: resolves when it no longer does.
pub(crate) type Room = Option<BoxFuture<'static, ()>>;

/// What a stream said last that it waits for, while it was polled. A connection's streams are
/// polled one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitsFor {
    /// It was not asked: as before.
    Unchanged,
    /// The answer, or more of it, is not there yet.
    Answer,
    /// The peer has to take what is there.
    Peer,
}

impl Unread {
    pub(crate) fn new(pool: UnreadPool) -> Arc<Self> {
        Arc::new(Self { pool, ..Self::default() })
    }

    /// Looks once more; says whether h2 has kept a part for longer than [`MAX_STALL`]. That happens
    /// where a stream's window lets some of its answer pass: hyper has let go of the stream by
    /// then, and only its connection can be ended.
    pub(crate) fn is_stuck(&self) -> bool {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.unsent[look % REMEMBERED_LOOKS].load(Ordering::Relaxed) > 0
    }

    /// Does it hold more than its share?
    fn is_crowded(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= SHARE
    }

    fn is_full(&self) -> bool {
        let held = || self.held.load(Ordering::Relaxed);
        self.is_crowded()
            && (held() >= MAX_PER_CONNECTION || self.pool.0.load(Ordering::Relaxed) >= POOL)
    }

    /// Resolves when this is so, which has to depend on what is held. What a crowded connection
    /// holds is its own, so it is always told.
    async fn until(self: Arc<Self>, is_so: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.room.notified();
            if is_so(&self) {
                return;
            }
            changed.await;
        }
    }

    /// Waits with an answer while the connection holds too much.
    pub(crate) fn poll_room(
        self: &Arc<Self>,
        room: &mut Room,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if room.is_none() && self.is_full() {
            *room = Some(Box::pin(Arc::clone(self).until(|unread| !unread.is_full())));
        }
        if let Some(waiting) = room {
            ready!(waiting.as_mut().poll(context));
            *room = None;
        }
        Poll::Ready(())
    }

    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Part {
        let size = bytes.len();
        if size <= MIN_COUNTED {
            return Part { bytes, held: None, unsent: None };
        }
        let before = self.held.fetch_add(size, Ordering::Relaxed);
        self.pool.changed(before, before + size);
        Part {
            bytes,
            held: Some(Arc::new(HeldMemory { unread: Arc::clone(self), size })),
            unsent: None,
        }
    }

    /// Must the end of an answer wait, since not all of it has been sent, and much is held?
    pub(crate) fn must_wait_for(&self, answer: &Weak<HeldMemory>) -> bool {
        answer.strong_count() > 0 && self.is_crowded()
    }

    /// Resolves when it need not any more.
    pub(crate) fn is_sent(
        self: &Arc<Self>,
        answer: Weak<HeldMemory>,
    ) -> impl Future<Output = ()> + use<> {
        Arc::clone(self).until(move |unread| !unread.must_wait_for(&answer))
    }

    pub(crate) fn note(&self, waits_for: WaitsFor) {
        self.waits_for.store(waits_for as u8, Ordering::Relaxed);
    }

    pub(crate) fn take_note(&self) -> WaitsFor {
        match self.waits_for.swap(WaitsFor::Unchanged as u8, Ordering::Relaxed) {
            noted if noted == WaitsFor::Answer as u8 => WaitsFor::Answer,
            noted if noted == WaitsFor::Peer as u8 => WaitsFor::Peer,
            _ => WaitsFor::Unchanged,
        }
    }
}

/// An answer's memory, counted until its last part has been sent.
pub(crate) struct HeldMemory {
    unread: Arc<Unread>,
    size: usize,
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        let before = self.unread.held.fetch_sub(self.size, Ordering::Relaxed);
        self.unread.pool.changed(before, before - self.size);
        // Nobody waits where there was room.
        if before >= SHARE {
            self.unread.room.notify_waiters();
        }
    }
}

/// A part that h2 has been handed and not sent yet.
pub(crate) struct Unsent {
    unread: Arc<Unread>,
    look: usize,
}

impl Unsent {
    pub(crate) fn new(unread: &Arc<Unread>) -> Self {
        let look = unread.looks.load(Ordering::Relaxed) % REMEMBERED_LOOKS;
        unread.unsent[look].fetch_add(1, Ordering::Relaxed);
        Self { unread: Arc::clone(unread), look }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.unread.unsent[self.look].fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer, or a part of it.
pub(crate) struct Part {
    bytes: Bytes,
    /// What counts the answer's memory; `None`: it is as small as nearly all are.
    held: Option<Arc<HeldMemory>>,
    pub(crate) unsent: Option<Unsent>,
}

impl Part {
    /// Gives it in parts that h2 is handed one by one: the first, and what is left.
    pub(crate) fn split(mut self) -> (Self, Option<Self>) {
        if self.bytes.len() <= MAX_PART {
            return (self, None);
        }
        let first =
            Self { bytes: self.bytes.split_to(MAX_PART), held: self.held.clone(), unsent: None };
        (first, Some(self))
    }

    /// What lives until all of the answer has been sent, where that is counted.
    pub(crate) fn answer(&self) -> Weak<HeldMemory> {
        self.held.as_ref().map(Arc::downgrade).unwrap_or_default()
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_all_connections_hold_too_much_together_each_still_has_its_share() {
        let pool = UnreadPool::default();
        let content = Bytes::from(vec![0; SHARE * 2]);
        let hold = |size: usize, unread: &Arc<Unread>| unread.hold(content.slice(..size));
        let _others: Vec<_> =
            (0..POOL / SHARE).map(|_| hold(SHARE * 2, &Unread::new(pool.clone()))).collect();
        let unread = Unread::new(pool);
        let first = hold(SHARE - MIN_COUNTED, &unread);
        assert!(!unread.is_full());
        let second = hold(MIN_COUNTED + 1, &unread);
        assert!(unread.is_full());
        drop(second);
        assert!(!unread.is_full());
        let _second = hold(MIN_COUNTED + 1, &unread);
        let (part, _rest) = first.split();
        drop(part);
        assert!(unread.is_full(), "the memory of an answer is held until all of it is taken");
    }
}
