//! The feed of a core that sits on a replica.
//!
//! It polls the replica's own copy of the log. That proves nothing by itself: a replica that is cut off
//! looks as if nothing changed. So the primary is asked, beside that, how far its log has come, and once
//! the replica has replayed that much, what is held is proven as of when the primary was asked.

use std::{convert::Infallible, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::{
    Asked, Feed, FeedMode, HEARTBEAT,
    marks::{Behind, Marks},
    relied_on_until,
};
use crate::{
    clock::Uptime,
    server::{background::condition::Cause, jittered},
    service::Core,
    store::{News, ReplicaPoll, StoreError},
};

/// What the replica has proven so far.
#[derive(Default)]
struct Proven {
    /// Until when that is relied on; `None`: nothing is.
    until: Option<Uptime>,
    /// What was said last of why nothing is.
    said: Option<Behind>,
}

impl Feed {
    /// Feeds the cache from the replica, and never returns.
    pub(super) async fn run_on_replica(mut self) -> Infallible {
        let marks = Mutex::default();
        let core = self.core.clone();
        tokio::join!(ask_primary(&core, &marks), self.poll_replica(&marks)).0
    }

    async fn poll_replica(&mut self, marks: &Mutex<Marks>) -> Infallible {
        let (store, mut proven) = (Arc::clone(&self.core.store), Proven::default());
        loop {
            let asked = self.ask();
            let poll = store.poll_replica(self.position.as_ref());
            let pause = match timeout(self.patience(), poll).await {
                Ok(Ok(Some(poll))) => {
                    self.take_in_of_replica(poll, asked, marks, &mut proven);
                    self.poll_interval
                }
                Ok(Err(error)) => self.lose_replica(&error, &mut proven),
                Ok(Ok(None)) | Err(_) => self.lose_replica(&StoreError::TimedOut, &mut proven),
            };
            sleep(jittered(pause)).await;
        }
    }

    fn lose_replica(&self, error: &StoreError, proven: &mut Proven) -> Duration {
        *proven = Proven::default();
        self.report.lock().behind = None;
        self.lose(error, "the replica's log of changes cannot be read");
        self.poll_interval.min(HEARTBEAT)
    }

    /// First what has changed, and then how far that can be relied on.
    fn take_in_of_replica(
        &mut self,
        ReplicaPoll { poll, reached }: ReplicaPoll,
        asked: Asked,
        marks: &Mutex<Marks>,
        proven: &mut Proven,
    ) {
        let now = self.core.api.clock.now();
        if !poll.armed {
            // What happens now leaves no trace, and how far the replica is says nothing of it.
            self.position = None;
            return self.doubt(Behind::Unarmed, proven);
        }
        if matches!(poll.news, News::Anything(_)) {
            // It may be another server, or the same that shows less since it was started anew: what
            // was proven of the one before is not proven of it.
            proven.until = None;
            self.core.api.cache.suspect();
        }
        self.take_news(&poll, now);
        self.report.lock().clock_skew = asked.skew(poll.clock, now);
        self.report.lock().is_denied = poll.denied;
        self.position = Some(poll.position);
        let (reached_last, why_not) = {
            let mut marks = marks.lock();
            (marks.reached(&reached), marks.why_not(&reached))
        };
        let is_relied_on = proven.until.is_some_and(|until| Uptime::now() < until);
        match (reached_last, why_not) {
            (Some(mark), _) => self.prove(mark, proven),
            (None, Some(why)) if !is_relied_on => self.doubt(why, proven),
            (None, _) => {}
        }
    }

    /// The replica shows what the primary had committed when it was asked.
    fn prove(&self, mark: Asked, proven: &mut Proven) {
        self.core.store.note_replica_known_at(mark.time());
        let until = relied_on_until(mark, self.poll_interval);
        if until <= Uptime::now() {
            self.core.api.cache.suspect_since(Some(mark.time()));
            return self.doubt(Behind::Lags, proven);
        }
        self.core.api.cache.trust(mark.time(), until);
        if proven.said.take().is_some() {
            tracing::info!("the replica is known to be current again");
        }
        proven.until = Some(until);
        self.tell(FeedMode::Polling, |report| {
            report.proven = Some(mark.at);
            (report.behind, report.lost) = (None, None);
        });
    }

    /// Nobody knows how old the replica is.
    fn doubt(&self, why: Behind, proven: &mut Proven) {
        proven.until = None;
        self.core.api.cache.suspect();
        self.tell(FeedMode::Disconnected, |report| {
            (report.behind, report.lost) = (Some(why), Some(Cause::Silent));
        });
        if proven.said.replace(why) == Some(why) {
            return;
        }
        match why {
            Behind::PrimaryAway | Behind::Lags => tracing::warn!("what is held is suspect: {why}"),
            Behind::Alien | Behind::Unarmed => tracing::error!("what is held is suspect: {why}"),
        }
    }
}

/// Asks the primary again and again, so that a primary that hangs holds up nothing else.
async fn ask_primary(core: &Core, marks: &Mutex<Marks>) -> Infallible {
    let mut was_away = false;
    loop {
        let asked = Asked::now(&core.api.clock, core.store.whereabouts());
        let answer = core.store.primary_position().await;
        let answer = answer.map_err(|error| core.store.naming_primary(error));
        marks.lock().note(asked, &answer);
        if let Err(error) = &answer
            && !was_away
        {
            tracing::warn!(%error, "the primary does not say how far its replica should be: {error}");
        }
        was_away = answer.is_err();
        sleep(jittered(HEARTBEAT)).await;
    }
}
