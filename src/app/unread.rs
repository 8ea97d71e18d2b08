//! Answers that are made and not yet taken by their peer: what memory they hold, and streams that do not go on.
//!
//! h2 keeps what it cannot send for as long as the stream's window says, and the window is the peer's. Requests of a
//! connection that holds too much wait, and a stream that does not go on is reset, by itself: its connection has others.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{
    body::{Body as _, Buf, Bytes, Frame, Incoming, SizeHint},
    service::Service,
};
use tokio::{
    sync::Notify,
    time::{Sleep, sleep},
};
use tonic::{Status, body::Body};

use super::worker::Answers;
use crate::service::{Ending, Peer};

/// A stream, or a connection, of which the peer takes nothing for this long ends.
pub(super) const MAX_STALL: Duration = Duration::from_secs(30);
/// What one connection's answers may hold whatever others hold, in bytes.
const SHARE: usize = 64 * 1024;
/// What they may hold while there is room in the pool. A single answer may be larger.
const MAX_PER_CONNECTION: usize = 1024 * 1024;
/// What all answers may hold beyond their connections' shares, in bytes.
const POOL: usize = 256 * 1024 * 1024;
/// What an answer is not counted for that holds no more, in bytes: its stream takes as much, and their number is bounded.
const MIN_COUNTED: usize = 1024;
/// An answer is handed to h2 in parts of at most this size, in bytes, so that each that is taken shows.
const MAX_PART: usize = 4 * 1024;

/// What unread answers hold beyond their connections' shares, in bytes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct UnreadPool(Arc<AtomicUsize>);

impl UnreadPool {
    /// A connection holds more, or less. What stays within its share is not counted here: all threads share this.
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
pub(super) struct Unread {
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
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A part that is there at so many looks has been kept for 30 to 40 seconds.
const REMEMBERED_LOOKS: usize = 4;

/// Where a connection holds too much: resolves when it no longer does.
type Room = Option<BoxFuture<'static, ()>>;

/// What a stream said last that it waits for, while it was polled. A connection's streams are polled one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WaitsFor {
    /// It was not asked: as before.
    Unchanged,
    /// The answer, or more of it, is not there yet.
    Answer,
    /// The peer has to take what is there.
    Peer,
}

impl Unread {
    pub(super) fn new(pool: UnreadPool) -> Arc<Self> {
        Arc::new(Self { pool, ..Self::default() })
    }

    /// Looks once more; says whether h2 has kept a part for longer than [`MAX_STALL`]. That happens where a stream's window
    /// lets some of its answer pass: hyper has let go of the stream by then, and only its connection can be ended.
    pub(super) fn is_stuck(&self) -> bool {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.unsent[look % REMEMBERED_LOOKS].load(Ordering::Relaxed) > 0
    }

    fn is_full(&self) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        held >= SHARE && (held >= MAX_PER_CONNECTION || self.pool.0.load(Ordering::Relaxed) >= POOL)
    }

    /// Resolves when no further answer has to wait. What a full connection holds is its own, so it is always told.
    async fn has_room(self: Arc<Self>) {
        loop {
            let changed = self.room.notified();
            if !self.is_full() {
                return;
            }
            changed.await;
        }
    }

    /// Waits with an answer while the connection holds too much.
    fn poll_room(self: &Arc<Self>, room: &mut Room, context: &mut Context<'_>) -> Poll<()> {
        if room.is_none() && self.is_full() {
            *room = Some(Box::pin(Arc::clone(self).has_room()));
        }
        if let Some(waiting) = room {
            ready!(waiting.as_mut().poll(context));
            *room = None;
        }
        Poll::Ready(())
    }

    fn hold(self: &Arc<Self>, bytes: Bytes) -> Part {
        let size = bytes.len();
        if size <= MIN_COUNTED {
            return Part { bytes, held: None, unsent: None };
        }
        let before = self.held.fetch_add(size, Ordering::Relaxed);
        self.pool.changed(before, before + size);
        Part { bytes, held: Some(Arc::new(Held { unread: Arc::clone(self), size })), unsent: None }
    }

    /// Does it hold more than its share?
    fn is_crowded(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= SHARE
    }

    /// Resolves when all of an answer has been sent, or there is no need to wait for that any more.
    async fn is_sent(self: Arc<Self>, answer: Weak<Held>) {
        loop {
            let changed = self.room.notified();
            if answer.strong_count() == 0 || !self.is_crowded() {
                return;
            }
            changed.await;
        }
    }

    fn note(&self, waits_for: WaitsFor) {
        self.waits_for.store(waits_for as u8, Ordering::Relaxed);
    }

    fn take_note(&self) -> WaitsFor {
        match self.waits_for.swap(WaitsFor::Unchanged as u8, Ordering::Relaxed) {
            noted if noted == WaitsFor::Answer as u8 => WaitsFor::Answer,
            noted if noted == WaitsFor::Peer as u8 => WaitsFor::Peer,
            _ => WaitsFor::Unchanged,
        }
    }
}

/// An answer's memory, counted until its last part has been sent.
struct Held {
    unread: Arc<Unread>,
    size: usize,
}

impl Drop for Held {
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
struct Unsent {
    unread: Arc<Unread>,
    look: usize,
}

impl Unsent {
    fn new(unread: &Arc<Unread>) -> Self {
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
pub(super) struct Part {
    bytes: Bytes,
    /// What counts the answer's memory; `None`: it is as small as nearly all are.
    held: Option<Arc<Held>>,
    unsent: Option<Unsent>,
}

impl Part {
    /// Gives it in parts that h2 is handed one by one: the first, and what is left.
    fn split(mut self) -> (Self, Option<Self>) {
        if self.bytes.len() <= MAX_PART {
            return (self, None);
        }
        let first = Self { bytes: self.bytes.split_to(MAX_PART), held: self.held.clone(), unsent: None };
        (first, Some(self))
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

/// Answers a connection's requests, and counts what is made for them.
pub(super) struct Counting<A>(Arc<Connection<A>>);

struct Connection<A> {
    front: Arc<A>,
    peer: Peer,
    ending: Ending,
    unread: Arc<Unread>,
}

impl<A> Counting<A> {
    /// `ending` says when the connection is to end.
    pub(super) fn new(front: Arc<A>, peer: Peer, ending: Ending, unread: Arc<Unread>) -> Self {
        Self(Arc::new(Connection { front, peer, ending, unread }))
    }
}

impl<A: Answers> Service<Request<Incoming>> for Counting<A> {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = CountedAnswer<A>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        CountedAnswer { connection: Arc::clone(&self.0), room: None, step: Step::Asked(Some(request)) }
    }
}

/// An answer on its way, whose content will be counted. While the connection holds too much it is not begun: neither does
/// its time run, nor is it one of the requests in flight.
pub(super) struct CountedAnswer<A: Answers> {
    connection: Arc<Connection<A>>,
    room: Room,
    step: Step<A::Answer>,
}

#[expect(clippy::large_enum_variant, reason = "it is moved but once, into the box of its exchange")]
enum Step<A> {
    /// Taken once there is room.
    Asked(Option<Request<Incoming>>),
    Begun(A),
}

impl<A: Answers> Future for CountedAnswer<A> {
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Connection { front, peer, ending, unread } = &*this.connection;
        unread.note(WaitsFor::Answer);
        if let Step::Asked(request) = &mut this.step {
            ready!(unread.poll_room(&mut this.room, context));
            if let Some(request) = request.take() {
                this.step = Step::Begun(front.answer(request, peer, ending));
            }
        }
        let Step::Begun(answer) = &mut this.step else { return Poll::Pending };
        let answer = ready!(Pin::new(answer).poll(context))?;
        unread.note(WaitsFor::Peer);
        Poll::Ready(Ok(answer.map(|body| CountedBody::begin(body, Arc::clone(unread), context))))
    }
}

/// What a body gives when it is polled; `None`: it has ended.
type Polled = Option<Result<Frame<Part>, Status>>;

/// An answer's content.
pub(super) struct CountedBody {
    body: Body,
    unread: Arc<Unread>,
    /// What comes next, where that is made already.
    made: Option<Polled>,
    room: Room,
    /// What of it was made last.
    last: Weak<Held>,
    sent: Room,
}

impl CountedBody {
    /// What is there at once is taken here: hyper asks for it only when the peer has room, and until then nobody counted it.
    fn begin(body: Body, unread: Arc<Unread>, context: &mut Context<'_>) -> Self {
        let mut begun = Self { body, unread, made: None, room: None, last: Weak::new(), sent: None };
        if let Poll::Ready(polled) = begun.poll_body(context) {
            begun.made = Some(polled);
        }
        begun
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Self { unread, last, .. } = self;
        let hold = |bytes| {
            let part = unread.hold(bytes);
            *last = part.held.as_ref().map(Arc::downgrade).unwrap_or_default();
            part
        };
        Poll::Ready(polled.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        if let Some(made) = self.made.take() {
            return Poll::Ready(made);
        }
        let Self { unread, room, .. } = self;
        // More of an answer waits as another one would.
        ready!(unread.poll_room(room, context));
        self.poll_body(context)
    }

    /// Waits with the end until all has been sent, where the connection holds much. With the end hyper lets go of a stream:
    /// whatever its window did not let pass would lie in h2 for as long as the connection lasts.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let begins = self.sent.is_none();
        if begins && (self.last.strong_count() == 0 || !self.unread.is_crowded()) {
            return Poll::Ready(());
        }
        let (unread, last) = (&self.unread, &self.last);
        let sent = self.sent.get_or_insert_with(|| Box::pin(Arc::clone(unread).is_sent(last.clone())));
        let polled = sent.as_mut().poll(context);
        // That others go on is no news of this one.
        self.unread.note(if begins { WaitsFor::Peer } else { WaitsFor::Unchanged });
        polled
    }

    /// How much is made of it, in bytes.
    fn made(&self) -> u64 {
        match &self.made {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, |part| part.remaining() as u64),
            _ => 0,
        }
    }
}

impl hyper::body::Body for CountedBody {
    type Data = Part;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Polled> {
        self.unread.note(WaitsFor::Answer);
        let frame = match ready!(self.poll_next(context)) {
            Some(Ok(frame)) if frame.is_data() => frame,
            end => {
                if self.poll_sent(context).is_pending() {
                    self.made = Some(end);
                    return Poll::Pending;
                }
                return Poll::Ready(end);
            }
        };
        self.unread.note(WaitsFor::Peer);
        Poll::Ready(frame.into_data().ok().map(|whole| {
            let (mut first, rest) = whole.split();
            first.unsent = Some(Unsent::new(&self.unread));
            self.made = rest.map(|rest| Some(Ok(Frame::data(rest))));
            Ok(Frame::data(first))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.made.as_ref().map_or_else(|| self.body.is_end_stream(), Option::is_none)
    }

    fn size_hint(&self) -> SizeHint {
        let (made, rest) = (self.made(), self.body.size_hint());
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + made);
        }
        hint.set_lower(rest.lower() + made);
        hint
    }
}

/// A request that hyper has read, and everything until its answer has been handed on.
pub(super) type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A request that ends where its peer does not take the answer: to drop it is to reset its stream.
pub(super) struct Stalling {
    exchange: Exchange,
    unread: Arc<Unread>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Stalling {
    /// Polls a request for the first time; gives what is left of it where it has to wait.
    pub(super) fn begin(mut exchange: Exchange, unread: &Arc<Unread>, context: &mut Context<'_>) -> Option<Self> {
        unread.note(WaitsFor::Unchanged);
        exchange.as_mut().poll(context).is_pending().then(|| {
            let mut begun = Self { exchange, unread: Arc::clone(unread), stall: None };
            begun.waits();
            begun
        })
    }

    /// Looks at what it has to wait for.
    fn waits(&mut self) {
        match self.unread.take_note() {
            WaitsFor::Peer => self.stall = Some(Box::pin(sleep(MAX_STALL))),
            WaitsFor::Answer => self.stall = None,
            WaitsFor::Unchanged => {}
        }
    }
}

impl Future for Stalling {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.unread.note(WaitsFor::Unchanged);
        if self.exchange.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        self.waits();
        let Some(stall) = &mut self.stall else { return Poll::Pending };
        ready!(stall.as_mut().poll(context));
        tracing::debug!("a stream was reset: its peer had taken nothing of the answer for {MAX_STALL:?}");
        Poll::Ready(())
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
        let _others: Vec<_> = (0..POOL / SHARE).map(|_| hold(SHARE * 2, &Unread::new(pool.clone()))).collect();
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
