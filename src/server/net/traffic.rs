//! Limits on what a connection's peer may do: how many requests are read before some are answered,
//! and how many it may cancel.
//!
//! A proxy's connection carries thousands of users, and each may hang up: cancelling a request is
//! legitimate. h2 only knows a limit on requests that are cancelled before it has passed them on
//! ("rapid reset", CVE-2023-44487), and if that is exceeded it ends the connection at once, with
//! everything that was under way. So it gets a limit that is never reached, and what the limit
//! guarded, memory and work, is bounded here: reading pauses while requests wait, and cancelled
//! requests are set against answered ones.

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{DATA, END_STREAM, FrameHead, Frames, HEADERS, RST_STREAM, calm_down};

/// The number of requests that may wait for their turn, cancelled or not. While there are more,
/// none is read.
const MAX_WAITING: usize = 256;
/// A cancelled request is forgiven each time this interval has passed (128 in a second), whatever
/// else happens: if all requests take too long, all of them are cancelled.
const FORGIVEN_EACH: Duration = Duration::from_nanos(1_000_000_000 / 128);
/// The minimum of how many more requests a peer may cancel than were answered,
const MIN_BUDGET: u32 = 1024;
/// and the maximum.
const MAX_BUDGET: u32 = 16 * 1024;

/// The traffic of a connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Traffic(Arc<Mutex<TrafficState>>);

struct TrafficState {
    budget: CancellationBudget,
    /// The number of requests that may still be read in this turn.
    to_read: usize,
    is_paused: bool,
    /// More was cancelled than allowed, since this was last queried.
    is_spent: bool,
    has_begun: bool,
    last_stream: u32,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TurnEnd {
    /// There was more to read than was allowed. Then another turn must follow: nobody else requests
    /// it.
    pub(crate) is_paused: bool,
    /// The peer has just cancelled more requests than it may.
    pub(crate) is_spent: bool,
}

/// May more be read?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ReadState {
    GoesOn,
    /// Not until what has been read is answered.
    Pauses,
    /// No: the peer goes on cancelling although it was asked to leave.
    Ends,
}

/// How many more requests may be cancelled than were answered.
#[derive(Debug)]
struct CancellationBudget {
    /// Below zero the peer is asked to leave.
    left: i64,
    most: i64,
    forgiven: Instant,
}

impl CancellationBudget {
    fn new(most: u32, now: Instant) -> Self {
        Self { left: most.into(), most: most.into(), forgiven: now }
    }

    fn answered(&mut self) {
        self.left = self.most.min(self.left + 1);
    }

    /// Counts a cancelled request. Returns whether it is the first one too many.
    fn cancelled(&mut self, now: Instant) -> bool {
        let span = now.saturating_duration_since(self.forgiven);
        // Forgiven up to the last whole interval, so that no fraction of one is lost.
        let forgiven =
            u32::try_from(span.as_nanos() / FORGIVEN_EACH.as_nanos()).unwrap_or(u32::MAX);
        self.forgiven += FORGIVEN_EACH * forgiven;
        self.left = self.most.min(self.left + i64::from(forgiven));
        self.left -= 1;
        self.left == -1
    }

    /// Were as many requests cancelled again after the peer was asked to leave?
    fn is_overdrawn(&self) -> bool {
        self.left < -self.most
    }
}

impl Traffic {
    /// For a connection that may have this many concurrent requests.
    pub(crate) fn new(max_streams: u32) -> Self {
        let most = max_streams.saturating_mul(4).clamp(MIN_BUDGET, MAX_BUDGET);
        let budget = CancellationBudget::new(most, Instant::now());
        let state = TrafficState {
            budget,
            to_read: MAX_WAITING,
            is_paused: false,
            is_spent: false,
            has_begun: false,
            last_stream: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// More than the number of cancelled requests that h2 can ever have pending: the connection is
    /// ended before that.
    pub(crate) fn max_pending_resets(&self) -> usize {
        usize::try_from(self.0.lock().budget.most).unwrap_or(usize::MAX).saturating_mul(4)
    }

    /// Begins a turn, while this many requests that were read before are waiting.
    pub(crate) fn begin_turn(&self, waiting: usize) {
        let mut state = self.0.lock();
        state.to_read = MAX_WAITING.saturating_sub(waiting);
        state.is_paused = false;
    }

    /// Ends a turn.
    pub(crate) fn end_turn(&self) -> TurnEnd {
        let mut state = self.0.lock();
        TurnEnd { is_paused: state.is_paused, is_spent: mem::take(&mut state.is_spent) }
    }

    /// Has the peer sent its preface and the head of its first frame?
    pub(crate) fn has_begun(&self) -> bool {
        self.0.lock().has_begun
    }

    fn reading(&self) -> ReadState {
        let mut state = self.0.lock();
        if state.budget.is_overdrawn() {
            return ReadState::Ends;
        }
        state.is_paused = state.to_read == 0;
        if state.is_paused { ReadState::Pauses } else { ReadState::GoesOn }
    }

    fn received(&self, frames: &mut Frames, bytes: &[u8]) {
        let mut state = self.0.lock();
        frames.pass(bytes, |FrameHead { kind, stream, .. }| {
            state.has_begun = true;
            match kind {
                HEADERS => {
                    state.to_read = state.to_read.saturating_sub(1);
                    state.last_stream = state.last_stream.max(stream);
                }
                RST_STREAM => state.cancelled(),
                _ => {}
            }
        });
    }

    fn sent(&self, frames: &mut Frames, bytes: &[u8]) {
        let mut state = self.0.lock();
        frames.pass(bytes, |FrameHead { kind, flags, .. }| match kind {
            HEADERS | DATA if flags & END_STREAM != 0 => state.budget.answered(),
            // A peer can make us reset streams (CVE-2025-8671, "made you reset"), and the work is
            // the same.
            RST_STREAM => state.cancelled(),
            _ => {}
        });
    }
}

impl TrafficState {
    fn cancelled(&mut self) {
        if self.budget.cancelled(Instant::now()) {
            tracing::debug!(
                "a connection is asked to end: its peer has cancelled more requests than were answered"
            );
            self.is_spent = true;
        }
    }
}

/// A stream on which a peer's requests are counted and limited.
pub(crate) struct Metered<S> {
    stream: S,
    traffic: Traffic,
    received: Frames,
    sent: Frames,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, traffic: Traffic) -> Self {
        Self { stream, traffic, received: Frames::of_client(), sent: Frames::default() }
    }
}

impl<S: AsyncWrite + Unpin> Metered<S> {
    /// Sends the peer the reason, if that is possible at once: neither hyper nor h2 can be asked to
    /// do it.
    fn end(&mut self, context: &mut Context<'_>) -> io::Error {
        if self.sent.is_between_two() {
            let goaway = calm_down(self.traffic.0.lock().last_stream);
            // The connection ends either way.
            _ = Pin::new(&mut self.stream).poll_write(context, &goaway);
            _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        io::Error::other("the peer goes on cancelling requests")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.traffic.reading() {
            ReadState::GoesOn => {}
            ReadState::Pauses => return Poll::Pending,
            ReadState::Ends => return Poll::Ready(Err(this.end(context))),
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.traffic.received(&mut this.received, &buffer.filled()[before..]);
        polled
    }
}
impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            this.traffic.sent(&mut this.sent, &bytes[..count]);
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, buffers);
        if let Poll::Ready(Ok(mut left)) = written {
            for buffer in buffers {
                let count = left.min(buffer.len());
                this.traffic.sent(&mut this.sent, &buffer[..count]);
                left -= count;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
