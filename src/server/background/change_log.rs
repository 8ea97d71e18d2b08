//! Keeping the log of changes short: folding it, and saying whose transaction keeps what was folded
//! from being removed.

use std::{convert::Infallible, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, interval, sleep};

use super::feed::{FeedMode, FeedReport};
use crate::{
    server::jittered,
    store::{FoldStep, Holder, HolderName, Store, StoreError},
};

/// The log is not looked after before changes have been received for this long.
const SETTLED: Duration = Duration::from_secs(3);
const SETTLING: Duration = Duration::from_millis(100);
const FOLD: Duration = Duration::from_mins(10);
/// After a failure it is tried again so soon.
const FOLD_AGAIN: Duration = Duration::from_mins(1);
/// After each step others get twice its time.
const REST: u32 = 2;
/// While somebody else folds, it is tried again this often: that one may be ended.
const OTHERS_TURN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(10);
/// While an old transaction is open, it is named this often.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// What is known of the log of changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChangeLogReport {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// How long ago the oldest row was written.
    pub(crate) oldest: Duration,
    /// How long the oldest transaction has been open.
    pub(crate) horizon: Duration,
    /// The rows that this instance has folded.
    pub(crate) folded: u64,
}

/// Returns once the server has started, which may take all it has: a single connection.
pub(super) async fn settle(report: &Mutex<FeedReport>) {
    while report.lock().mode == FeedMode::Disconnected {
        sleep(SETTLING).await;
    }
    sleep(SETTLED).await;
}

/// Folds all that is old, now and every few minutes.
pub(super) async fn fold(store: &Store, report: &Mutex<FeedReport>) -> Infallible {
    loop {
        let pause = match fold_all(store, report).await {
            Ok(()) => FOLD,
            Err(error) => {
                tracing::warn!(%error, "the log of changes was not folded: {error}");
                FOLD_AGAIN
            }
        };
        sleep(jittered(pause)).await;
    }
}

async fn fold_all(store: &Store, report: &Mutex<FeedReport>) -> Result<(), StoreError> {
    loop {
        let began = Instant::now();
        match store.fold().await? {
            FoldStep::Folded(rows) => {
                report.lock().change_log.folded += rows;
                sleep(began.elapsed() * REST).await;
            }
            FoldStep::OthersTurn => sleep(jittered(OTHERS_TURN)).await,
            FoldStep::Done => return Ok(()),
        }
    }
}

/// Looks at the log, and names whoever has a transaction that has been open for longer than `after`.
pub(super) async fn look(store: &Store, report: &Mutex<FeedReport>, after: Duration) -> Infallible {
    let mut beat = interval(LOOK);
    let mut horizon = Horizon::new(after);
    loop {
        beat.tick().await;
        match store.log_state().await {
            Ok(state) => {
                let (age, line) = horizon.observe(state.holder, Instant::now());
                let known = &mut report.lock().change_log;
                (known.rows, known.bytes) = (state.rows, state.bytes);
                (known.oldest, known.horizon) = (state.oldest, age);
                line.inspect(Line::say);
            }
            Err(error) => {
                tracing::debug!(%error, "the state of the log of changes cannot be read: {error}");
            }
        }
    }
}

/// The transaction that sees the most of the past, and what was said of it.
struct Horizon {
    after: Duration,
    holder: Option<Held>,
    /// Whose transaction was named, when, and how long it had been open.
    said: Option<(HolderName, Instant, Duration)>,
}

struct Held {
    owner: HolderName,
    xid: String,
    since: Instant,
}

/// What is to be said.
#[derive(Debug, Eq, PartialEq)]
enum Line {
    Open(HolderName, Duration),
    Ended(HolderName, Duration),
}

impl Horizon {
    fn new(after: Duration) -> Self {
        Self { after, holder: None, said: None }
    }

    /// How long the oldest transaction has been open, and what is to be said. Where the database does
    /// not say how long, it is since it was first seen.
    fn observe(&mut self, holder: Option<Holder>, now: Instant) -> (Duration, Option<Line>) {
        let before = self.holder.take();
        let Some(Holder { owner, xid, open_for }) = holder else {
            return (
                Duration::ZERO,
                self.said.take().map(|(owner, _, age)| Line::Ended(owner, age)),
            );
        };
        let is_same = |held: &Held| held.owner == owner && held.xid == xid;
        let since = before.filter(is_same).map_or(now, |held| held.since);
        let age = open_for.unwrap_or_default().max(now - since);
        self.holder = Some(Held { owner: owner.clone(), xid, since });
        (age, self.line(owner, age, now))
    }

    fn line(&mut self, owner: HolderName, age: Duration, now: Instant) -> Option<Line> {
        if age < self.after {
            return self.said.take().map(|(owner, _, age)| Line::Ended(owner, age));
        }
        let was_said = self.said.as_ref().filter(|(named, ..)| *named == owner);
        let at = was_said.map(|(_, at, _)| *at).filter(|at| now - *at < SAY_AGAIN);
        self.said = Some((owner.clone(), at.unwrap_or(now), age));
        at.is_none().then_some(Line::Open(owner, age))
    }
}

impl Line {
    fn say(&self) {
        match self {
            Self::Open(owner, age) => tracing::warn!(
                open_seconds = age.as_secs(),
                "a transaction has been open for {} s, so that folded rows of the log of changes cannot be removed: {owner}",
                age.as_secs()
            ),
            Self::Ended(owner, age) => tracing::info!(
                open_seconds = age.as_secs(),
                "the transaction that was open for over {} s has ended: {owner}",
                age.as_secs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(name: &str, open_for: Option<u64>) -> Holder {
        let owner = HolderName::Prepared { name: name.into(), database: "erp".into() };
        Holder { owner, xid: "7".into(), open_for: open_for.map(Duration::from_secs) }
    }

    /// What is said when this is seen, at so many seconds.
    fn said(sights: &[(u64, Option<Holder>)]) -> Vec<Option<(&'static str, String, u64)>> {
        let began = Instant::now();
        let mut horizon = Horizon::new(Duration::from_mins(5));
        let mut observe = |(at, holder): &(u64, Option<Holder>)| {
            let line = horizon.observe(holder.clone(), began + Duration::from_secs(*at)).1?;
            let (word, owner, age) = match line {
                Line::Open(owner, age) => ("open", owner, age),
                Line::Ended(owner, age) => ("ended", owner, age),
            };
            let HolderName::Prepared { name, .. } = owner else { unreachable!() };
            Some((word, name, age.as_secs()))
        };
        sights.iter().map(&mut observe).collect()
    }

    #[test]
    fn an_old_transaction_is_named_when_it_is_old_once_a_minute_and_when_it_has_ended() {
        let old = |at| (at, Some(prepared("a", Some(at + 290))));
        let sights = [old(0), old(10), old(20), old(60), old(70), old(80), (90, None), (100, None)];
        let named = |word, age| Some((word, "a".to_owned(), age));
        assert_eq!(
            said(&sights),
            [
                None,
                named("open", 300),
                None,
                None,
                named("open", 360),
                None,
                named("ended", 370),
                None
            ]
        );
    }

    #[test]
    fn another_old_transaction_is_named_at_once_and_a_young_one_ends_the_old() {
        let sights = [
            (0, Some(prepared("a", Some(400)))),
            (10, Some(prepared("b", Some(350)))),
            (20, Some(prepared("c", Some(1)))),
        ];
        let named = |word, name: &str, age| Some((word, name.to_owned(), age));
        assert_eq!(
            said(&sights),
            [named("open", "a", 400), named("open", "b", 350), named("ended", "b", 350)]
        );
    }

    #[test]
    fn where_the_database_does_not_say_since_when_it_is_since_it_was_first_seen() {
        let unknown = || Some(prepared("a", None));
        let other = Some(Holder { xid: "8".into(), ..prepared("a", None) });
        let sights = [(0, unknown()), (300, unknown()), (310, other)];
        let named = |word| Some((word, "a".to_owned(), 300));
        assert_eq!(said(&sights), [None, named("open"), named("ended")]);
    }
}
