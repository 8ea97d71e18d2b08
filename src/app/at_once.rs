//! Requests are answered on their connection's own task, where that can be done at once.

use std::{
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use hyper::rt::Executor;
use parking_lot::Mutex;

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests that a connection has answered before it is the turn of the thread's other connections. One with a token to
/// verify takes a hundred times as long as most.
const MOST_IN_A_TURN: usize = 64;

/// Takes the requests that hyper reads from one connection, which it would give a task each.
///
/// What is held is answered without waiting for anything, and for that a task costs more than the decision: it is made,
/// listed, queued and woken. So requests are collected while the connection reads, then polled once, and only those that
/// have to wait get a task. They are not polled as they come, since the connection would write each answer by itself.
#[derive(Clone, Default)]
pub(super) struct AtOnce(Arc<Mutex<Vec<Request>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for AtOnce {
    fn execute(&self, request: F) {
        self.0.lock().push(Box::pin(request));
    }
}

impl AtOnce {
    /// Serves a connection that hands its requests over to this.
    pub(super) async fn serve<C: Future>(&self, mut connection: Pin<&mut C>) -> C::Output {
        poll_fn(|context| self.poll(connection.as_mut(), context)).await
    }

    fn poll<C: Future>(&self, mut connection: Pin<&mut C>, context: &mut Context<'_>) -> Poll<C::Output> {
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(ended);
        }
        let requests = self.turn();
        if requests.is_empty() {
            return Poll::Pending;
        }
        requests.into_iter().for_each(answer);
        // Now it writes all answers at once. What is left, or is read meanwhile, has its turn after the others.
        let written = connection.poll(context);
        if written.is_pending() && !self.0.lock().is_empty() {
            context.waker().wake_by_ref();
        }
        written
    }

    fn turn(&self) -> Vec<Request> {
        let mut read = self.0.lock();
        if read.len() <= MOST_IN_A_TURN {
            return mem::take(&mut *read);
        }
        read.drain(..MOST_IN_A_TURN).collect()
    }
}

fn answer(mut request: Request) {
    // Nobody is to be woken: a request that waits is polled again by its task.
    let mut context = Context::from_waker(Waker::noop());
    // A panic ends its own request and no other, as it would on a task.
    if let Ok(Poll::Pending) = catch_unwind(AssertUnwindSafe(|| request.as_mut().poll(&mut context))) {
        tokio::spawn(request);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a connection once that hands over these requests, each time that it is polled.
    fn poll_once(requests: &AtOnce, read: impl Fn(&AtOnce)) -> usize {
        let connection = poll_fn(|_| {
            read(requests);
            Poll::<()>::Pending
        });
        let mut connection = std::pin::pin!(connection);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(requests.poll(connection.as_mut(), &mut Context::from_waker(&waker)).is_pending());
        woken.0.load(Ordering::Relaxed)
    }

    fn count(answered: &Arc<AtomicUsize>) -> impl Future<Output = ()> + Send + 'static {
        let answered = Arc::clone(answered);
        async move { _ = answered.fetch_add(1, Ordering::Relaxed) }
    }

    #[test]
    fn what_is_held_is_answered_without_a_runtime_to_make_tasks() {
        let (requests, answered) = (AtOnce::default(), Arc::default());
        requests.execute(count(&answered));
        requests.execute(ready(()));
        requests.execute(count(&answered));
        assert_eq!(poll_once(&requests, |_| {}), 0);
        assert_eq!(answered.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_request_that_waits_holds_nobody_up_and_is_answered_later() {
        let (requests, answered) = (AtOnce::default(), Arc::default());
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        requests.execute(async move {
            told.await.unwrap();
            done.send(()).unwrap();
        });
        requests.execute(pending());
        requests.execute(count(&answered));
        poll_once(&requests, |_| {});
        assert_eq!(answered.load(Ordering::Relaxed), 1);
        tell.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[test]
    fn a_panic_ends_its_own_request_and_no_other() {
        let (requests, answered) = (AtOnce::default(), Arc::default());
        requests.execute(async { panic!("a request's own") });
        requests.execute(count(&answered));
        poll_once(&requests, |_| {});
        assert_eq!(answered.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_connection_that_reads_on_and_on_yields_to_the_others() {
        let (requests, answered) = (AtOnce::default(), Arc::default());
        let woken = poll_once(&requests, |requests| requests.execute(count(&answered)));
        assert_eq!((woken, answered.load(Ordering::Relaxed)), (1, 1), "one turn, and another one asked for");
    }

    #[test]
    fn a_connection_that_has_read_many_at_once_yields_too() {
        let (requests, answered) = (AtOnce::default(), Arc::default());
        (0..=MOST_IN_A_TURN * 2).for_each(|_| requests.execute(count(&answered)));
        let turns = [(); 3].map(|()| (poll_once(&requests, |_| {}), answered.load(Ordering::Relaxed)));
        assert_eq!(turns, [(1, MOST_IN_A_TURN), (1, MOST_IN_A_TURN * 2), (0, MOST_IN_A_TURN * 2 + 1)]);
    }
}
