//! Streams that end if their peer does not let them proceed.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Sleep, sleep};

use super::unread::{MAX_STALL, Unread, WaitsFor};

/// A request that hyper has read, with everything until its answer has been handed over.
pub(crate) type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A request that ends if its peer does not take the answer: dropping it resets its stream.
pub(crate) struct Stalling {
    exchange: Exchange,
    unread: Arc<Unread>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Stalling {
    /// Polls a request for the first time; returns what is left of it if it has to wait.
    pub(crate) fn begin(
        mut exchange: Exchange,
        unread: &Arc<Unread>,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        unread.note(WaitsFor::Unchanged);
        exchange.as_mut().poll(context).is_pending().then(|| {
            let mut begun = Self { exchange, unread: Arc::clone(unread), stall: None };
            begun.waits();
            begun
        })
    }

    /// Checks what it is waiting for.
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
        tracing::debug!(
            "a stream was reset: its peer had taken nothing of the answer for {MAX_STALL:?}"
        );
        Poll::Ready(())
    }
}
