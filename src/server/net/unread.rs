//! Answers that are made and not yet taken by their peer: the memory that they hold, and whether
//! they proceed.
//!
//! h2 keeps what it cannot send for as long as the stream's window says, and the window is the
//! peer's. Requests of a connection that holds too much wait (`counted`), and a stream that does
//! not proceed is reset alone: its connection has others (`stalling`).

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

/// A stream or connection ends if its peer takes nothing for this long.
pub(crate) const MAX_STALL: Duration = Duration::from_secs(30);
/// The number of bytes that one connection's answers may hold regardless of the others.
const SHARE: usize = 64 * 1024;
/// The number of bytes that they may hold while there is room in the pool. A single answer may be
/// larger.
const MAX_PER_CONNECTION: usize = 1024 * 1024;
/// The number of bytes that all answers together may hold beyond their connections' shares.
const POOL: usize = 256 * 1024 * 1024;
/// Answers up to this size in bytes are not counted: their stream itself takes as much memory, and
/// the number of streams is limited.
const MIN_COUNTED: usize = 1024;
/// Answers are handed to h2 in parts of at most this size in bytes, so that it can be seen when
/// each part is taken.
const MAX_PART: usize = 4 * 1024;

/// The number of bytes that unread answers hold beyond their connections' shares. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadPool(Arc<AtomicUsize>);

impl UnreadPool {
    /// A connection holds more, or less. What stays within its share is not counted here, because
    /// all threads share this counter.
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
    /// The number of checks so far.
    looks: AtomicUsize,
    /// The parts that h2 has not sent yet, by the check after which they were handed over.
    unsent: [AtomicUsize; REMEMBERED_LOOKS],
}

/// How often it is checked whether h2 keeps parts that it cannot send.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A part that is present at this many checks has been kept for 30 to 40 seconds.
const REMEMBERED_LOOKS: usize = 4;

/// If a connection holds too much: resolves when it no longer does.
pub(crate) type Room = Option<BoxFuture<'static, ()>>;

/// What a stream was waiting for when it was last polled. A connection's streams are polled one
/// after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitsFor {
    /// It was not polled: as before.
    Unchanged,
    /// For the answer, or more of it.
    Answer,
    /// For the peer to take what is there.
    Peer,
}

impl Unread {
    pub(crate) fn new(pool: UnreadPool) -> Arc<Self> {
        Arc::new(Self { pool, ..Self::default() })
    }

    /// Checks again; returns whether h2 has kept a part for longer than [`MAX_STALL`]. That happens
    /// if a stream's window lets only some of its answer through: hyper has let go of the stream by
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

    /// Resolves when the condition holds, which must depend on what is held. A crowded connection
    /// shares its counter with no other, so every change of it notifies the waiters.
    async fn until(self: Arc<Self>, is_so: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.room.notified();
            if is_so(&self) {
                return;
            }
            changed.await;
        }
    }

    /// Delays an answer while the connection holds too much.
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

    /// Must the end of an answer wait, because not all of it has been sent and much is held?
    pub(crate) fn must_wait_for(&self, answer: &Weak<HeldMemory>) -> bool {
        answer.strong_count() > 0 && self.is_crowded()
    }

    /// Resolves when the end need not wait any more.
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
        // Nobody waits if there was room.
        if before >= SHARE {
            self.unread.room.notify_waiters();
        }
    }
}

/// A part that was handed to h2 and has not been sent yet.
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
    /// Counts the answer's memory; `None`: the answer is small, as nearly all are.
    held: Option<Arc<HeldMemory>>,
    pub(crate) unsent: Option<Unsent>,
}

impl Part {
    /// Splits off the first part that is handed to h2, and returns it with what is left.
    pub(crate) fn split(mut self) -> (Self, Option<Self>) {
        if self.bytes.len() <= MAX_PART {
            return (self, None);
        }
        let first =
            Self { bytes: self.bytes.split_to(MAX_PART), held: self.held.clone(), unsent: None };
        (first, Some(self))
    }

    /// A handle that lives until all of the answer has been sent, if the answer is counted.
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
