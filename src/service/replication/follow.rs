//! One who follows: what has changed, and on being asked how good what it knows is.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::{Stream, StreamExt};
use tokio::{sync::watch, time::sleep};

use super::{
    Missed,
    batch::{Batch, Changes, Position},
    hub::{Hub, Next, is_heard},
};
use crate::{
    cache::{FeedState, RelayedFeed},
    clock::Uptime,
    domain::TenantId,
    security::callers::CallerService,
    service::{
        Api,
        caller::Credentials,
        error::RequestError,
        stream_places::Place,
        stream_rights::StreamRights,
        watch::{ConnectionStage, Ending, reached},
    },
};

/// How long a follower may be silent: it has a place that others want.
const IDLE: Duration = Duration::from_secs(30);

/// The numbers of pings, as they come in.
pub(in crate::service) type Pings = Pin<Box<dyn Stream<Item = u64> + Send>>;

/// Who follows, from where on.
pub(in crate::service) struct FollowQuery {
    pub(in crate::service) credentials: Credentials,
    /// `None`: it knows nothing.
    pub(in crate::service) position: Option<Position>,
    /// The first ping, and those that follow.
    pub(in crate::service) ping: u64,
    pub(in crate::service) pings: Pings,
}

/// What is sent to a follower.
#[derive(Debug)]
pub(in crate::service) enum FollowMessage {
    Opened(Opened),
    /// Of a batch, all of it.
    Batch(Arc<Batch>),
    /// What concerns this follower only.
    Changes(Changes, Position),
    Heartbeat(Heartbeat),
}

/// What a stream begins with.
#[derive(Debug)]
pub(in crate::service) struct Opened {
    /// The position is not known here.
    pub(in crate::service) reset: bool,
    pub(in crate::service) position: Position,
}

/// How good what was sent is.
#[derive(Clone, Debug)]
pub(in crate::service) struct Heartbeat {
    pub(in crate::service) ping: u64,
    pub(in crate::service) feed: FeedState,
    /// How long ago the database last answered; `None`: it never has.
    pub(in crate::service) proof_age: Option<TimeDelta>,
    pub(in crate::service) valid_for: Duration,
    pub(in crate::service) position: Position,
}

/// One who follows.
pub(in crate::service) struct Follower {
    api: Api,
    rights: StreamRights,
    pings: Pings,
    news: watch::Receiver<u64>,
    ending: Option<Ending>,
    /// The number of the last batch that it has had.
    sequence: u64,
    outbox: VecDeque<FollowMessage>,
    /// Whose changes it is sent; `None`: all.
    tenants: Option<HashSet<TenantId>>,
    ping: u64,
    /// A heartbeat is due.
    owes_heartbeat: bool,
    /// What the last one said.
    told: Option<FeedState>,
    _place: Place,
}

enum Wakeup {
    Ping(Option<u64>),
    News,
    Ends,
    Rights,
}

impl Api {
    pub(in crate::service) async fn follow(
        &self,
        query: FollowQuery,
        ending: Option<Ending>,
    ) -> Result<Follower, RequestError> {
        let FollowQuery { credentials, position, ping, pings } = query;
        let rights = StreamRights::new(&self.callers, credentials, CallerService::Replication)?;
        let place = self.followers.take(rights.identity().name(), 0);
        let place = place.ok_or(RequestError::TooManyFollowers)?;
        self.cache.rests_on().ok_or(RequestError::NotHeardYet)?;
        self.hub.gather(&self.cache);
        let tenants = rights.identity().tenants().cloned();
        // Whose changes a position covers is not known: it may have been of somebody with other rights.
        let position = position.filter(|_| tenants.is_none());
        let (sequence, outbox) = self.begin_following(position).await;
        Ok(Follower {
            api: self.clone(),
            rights,
            pings,
            news: self.hub.news(),
            ending,
            sequence,
            outbox,
            tenants,
            ping,
            owes_heartbeat: true,
            told: None,
            _place: place,
        })
    }

    /// The number of the batch after which a follower begins, and what it is sent before.
    async fn begin_following(&self, position: Option<Position>) -> (u64, VecDeque<FollowMessage>) {
        let begin = |position: Position, reset, missed| {
            let opened = Opened { reset, position: position.clone() };
            let missed = Option::map(missed, |it| FollowMessage::Changes(it, position));
            std::iter::once(FollowMessage::Opened(opened)).chain(missed).collect()
        };
        let Some(position) = position else {
            let now = self.hub.position();
            return (now.sequence, begin(now, true, None));
        };
        if let Some(sequence) = self.hub.sequence_at(&position) {
            return (sequence, begin(position, false, None));
        }
        match self.missed_since(&position.mark).await {
            Some(Missed { until, changes }) => (until.sequence, begin(until, false, Some(changes))),
            None => {
                let now = self.hub.position();
                (now.sequence, begin(now, true, None))
            }
        }
    }
}

impl Follower {
    /// The next thing to send; `None`: the stream ends.
    pub(in crate::service) async fn next(&mut self) -> Option<Result<FollowMessage, RequestError>> {
        loop {
            match self.rights.look_again(&self.api) {
                Ok(true) => self.begin_anew_if_others(),
                Ok(false) => {}
                Err(refused) => return Some(Err(refused.into())),
            }
            if let Some(message) = self.outbox.pop_front() {
                return Some(Ok(self.for_this_caller(message)));
            }
            match self.hub().after(self.sequence) {
                Next::Batch(batch) => {
                    self.sequence = batch.position.sequence;
                    match self.for_this_caller(FollowMessage::Batch(batch)) {
                        FollowMessage::Changes(changes, _) if changes.is_empty() => continue,
                        message => return Some(Ok(message)),
                    }
                }
                Next::Gone => {
                    self.begin_anew();
                    continue;
                }
                Next::Nothing(position, feed) => {
                    if let Some(heartbeat) = self.heartbeat(position, feed) {
                        return Some(Ok(self.for_this_caller(FollowMessage::Heartbeat(heartbeat))));
                    }
                }
            }
            match self.happened().await {
                Wakeup::Ping(Some(ping)) => (self.ping, self.owes_heartbeat) = (ping, true),
                Wakeup::Ping(None) | Wakeup::Ends => return None,
                Wakeup::News | Wakeup::Rights => {}
            }
        }
    }

    /// Where it is to be sent the changes of other tenants from now on, what it holds of those is not known
    /// to be so.
    fn begin_anew_if_others(&mut self) {
        let tenants = self.rights.identity().tenants().cloned();
        if std::mem::replace(&mut self.tenants, tenants.clone()) != tenants {
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        let position = self.hub().position();
        self.sequence = position.sequence;
        self.outbox = VecDeque::from([FollowMessage::Changes(Changes::reset(), position)]);
    }

    fn hub(&self) -> &Hub {
        &self.api.hub
    }

    /// What is due to be said of how good all is that was sent.
    fn heartbeat(&mut self, position: Position, feed: Option<RelayedFeed>) -> Option<Heartbeat> {
        let feed = feed.filter(is_heard)?;
        let left = Duration::from_nanos(feed.until.nanos().saturating_sub(Uptime::now().nanos()));
        // Whoever was stopped has not noticed yet that its proof is too old.
        let state = match feed.state {
            FeedState::Live if left.is_zero() => FeedState::Suspect,
            state => state,
        };
        if !self.owes_heartbeat && self.told == Some(state) {
            return None;
        }
        (self.owes_heartbeat, self.told) = (false, Some(state));
        let age = feed.proof.map(|proof| self.api.clock.now() - proof);
        Some(Heartbeat {
            ping: self.ping,
            feed: state,
            proof_age: age.map(|age| age.max(TimeDelta::zero())),
            valid_for: if state == FeedState::Live { left } else { Duration::ZERO },
            position,
        })
    }

    async fn happened(&mut self) -> Wakeup {
        tokio::select! {
            ping = self.pings.next() => Wakeup::Ping(ping),
            _ = self.news.changed() => Wakeup::News,
            () = sleep(IDLE) => Wakeup::Ends,
            _ = reached(&mut self.ending, ConnectionStage::Ending) => Wakeup::Ends,
            () = self.rights.changed() => Wakeup::Rights,
        }
    }

    /// Without what the caller may not know.
    fn for_this_caller(&self, message: FollowMessage) -> FollowMessage {
        let caller = self.rights.identity();
        if caller.tenants().is_none() {
            return message;
        }
        let allowed = |changes: &Changes| changes.of_tenants(|id| caller.may_ask_about(id));
        // A mark covers the changes of all.
        let unmarked = |position: Position| Position { mark: Arc::default(), ..position };
        match message {
            FollowMessage::Batch(batch) => {
                FollowMessage::Changes(allowed(&batch.changes), unmarked(batch.position.clone()))
            }
            FollowMessage::Changes(changes, position) => {
                FollowMessage::Changes(allowed(&changes), unmarked(position))
            }
            FollowMessage::Opened(Opened { reset, position }) => {
                FollowMessage::Opened(Opened { reset, position: unmarked(position) })
            }
            FollowMessage::Heartbeat(heartbeat) => {
                let position = unmarked(heartbeat.position);
                FollowMessage::Heartbeat(Heartbeat { position, ..heartbeat })
            }
        }
    }
}
