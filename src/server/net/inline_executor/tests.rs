//! Tests of the parent module.

use std::{
    future::{pending, ready},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Wake, Waker},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::*;
use crate::server::net::traffic::Metered;

fn executor() -> InlineExecutor {
    InlineExecutor::new(Traffic::new(256), Arc::default())
}

/// Counts wake-ups.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls a connection once; each time it is polled, the connection hands over these requests.
fn poll_once(requests: &InlineExecutor, read: impl Fn(&InlineExecutor)) -> usize {
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
    let (requests, answered) = (executor(), Arc::default());
    requests.execute(count(&answered));
    requests.execute(ready(()));
    requests.execute(count(&answered));
    assert_eq!(poll_once(&requests, |_| {}), 0);
    assert_eq!(answered.load(Ordering::Relaxed), 2);
}

#[test]
fn requests_that_wait_hold_nobody_up_and_are_answered_together_in_one_turn() {
    let (requests, answered) = (executor(), Arc::default());
    let (tell, told) = tokio::sync::watch::channel(false);
    for _ in 0..3 {
        let (mut told, counted) = (told.clone(), count(&answered));
        requests.execute(async move {
            told.wait_for(|told| *told).await.unwrap();
            counted.await;
        });
    }
    requests.execute(pending());
    requests.execute(count(&answered));
    poll_once(&requests, |_| {});
    assert_eq!(answered.load(Ordering::Relaxed), 1);
    tell.send(true).unwrap();
    poll_once(&requests, |_| {});
    assert_eq!(answered.load(Ordering::Relaxed), 4);
}

#[test]
fn a_request_that_waits_wakes_its_connection_whether_it_was_polled_once_or_more_often() {
    for turns in 1..=3 {
        let requests = executor();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        requests.execute(async move { told.await.unwrap() });
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..turns {
            let mut connection = pending::<()>();
            let connection = Pin::new(&mut connection);
            assert!(requests.poll(connection, &mut Context::from_waker(&waker)).is_pending());
        }
        let before = woken.0.load(Ordering::Relaxed);
        tell.send(()).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), before + 1, "after {turns} turns");
    }
}

#[test]
fn a_panic_ends_its_own_request_and_no_other_also_while_it_waits() {
    let (requests, answered) = (executor(), Arc::default());
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    requests.execute(async { panic!("a request's own") });
    requests.execute(async move {
        told.await.unwrap();
        panic!("a request's own, later");
    });
    requests.execute(count(&answered));
    poll_once(&requests, |_| {});
    tell.send(()).unwrap();
    requests.execute(count(&answered));
    poll_once(&requests, |_| {});
    assert_eq!(answered.load(Ordering::Relaxed), 2);
    assert!(requests.0.waiting.lock().is_empty());
}

#[test]
fn requests_that_wait_or_were_not_begun_are_dropped_with_their_connection() {
    let (requests, held) = (executor(), Arc::new(()));
    let dropping = requests.drop_requests_at_the_end();
    let hold = || {
        let (held, own) = (Arc::clone(&held), requests.clone());
        async move {
            pending::<()>().await;
            drop((held, own));
        }
    };
    requests.execute(hold());
    poll_once(&requests, |_| {});
    requests.execute(hold());
    assert_eq!(Arc::strong_count(&held), 3);
    drop(dropping);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_connection_that_reads_on_and_on_yields_to_the_others() {
    let (requests, answered) = (executor(), Arc::default());
    let woken = poll_once(&requests, |requests| requests.execute(count(&answered)));
    assert_eq!(
        (woken, answered.load(Ordering::Relaxed)),
        (1, 1),
        "one turn, and another one asked for"
    );
}

#[test]
fn a_connection_that_has_read_many_at_once_yields_too() {
    let (requests, answered) = (executor(), Arc::default());
    (0..=MAX_IN_A_TURN * 2).for_each(|_| requests.execute(count(&answered)));
    let turns = [(); 3].map(|()| (poll_once(&requests, |_| {}), answered.load(Ordering::Relaxed)));
    assert_eq!(turns, [(1, MAX_IN_A_TURN), (1, MAX_IN_A_TURN * 2), (0, MAX_IN_A_TURN * 2 + 1)]);
}

#[test]
fn a_connection_whose_reading_pauses_has_another_turn() {
    let traffic = Traffic::new(256);
    let requests = InlineExecutor::new(traffic.clone(), Arc::default());
    let woken = poll_once(&requests, |_| {
        traffic.begin_turn(usize::MAX);
        let mut stream = Metered::new(tokio::io::empty(), traffic.clone());
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            Pin::new(&mut stream).poll_read(&mut context, &mut ReadBuf::new(&mut [0])).is_pending()
        );
    });
    assert_eq!(woken, 1, "nobody else would wake it");
    assert_eq!(poll_once(&requests, |_| {}), 0);
}
