//! Finding the upstream that answers best.

use std::time::Duration;

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use tokio::time::timeout;
use tonic::Streaming;

use super::{pings::Pings, source::UpstreamSource};
use crate::{
    clock::Clock,
    config::UpstreamUrl,
    proto::{
        FollowFactsResponse,
        replication::{FeedState, FollowHeartbeat, FollowOpened, Position},
    },
    upstream::Client,
};

/// How long an upstream may take to let itself be followed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much longer others get, once one has answered that does not hear from the database.
const HEAD_START: Duration = Duration::from_millis(500);

/// An upstream that is followed.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) url: UpstreamUrl,
    pub(super) client: Client,
    pub(super) stream: Streaming<FollowFactsResponse>,
    pub(super) pings: Pings,
    /// What the stream began with.
    pub(super) opened: Option<FollowOpened>,
    /// What was missed, before the first heartbeat.
    pub(super) missed: Vec<prost::bytes::Bytes>,
    pub(super) heartbeat: Option<FollowHeartbeat>,
}

/// Follows all, and goes on with the first that hears from the database, or else with the first. Err:
/// none can be followed.
pub(super) async fn begin(
    source: &UpstreamSource,
    position: Option<Position>,
    clock: &Clock,
) -> Result<Begun, String> {
    let attempt = |url| attempt(source, url, position.clone(), clock);
    let mut attempts: FuturesUnordered<_> = source.urls().iter().map(attempt).collect();
    let (mut second_best, mut problems) = (None, Vec::new());
    loop {
        let next = attempts.next();
        let ended = match &second_best {
            None => next.await,
            // Others are hardly better if they take so long.
            Some(_) => timeout(HEAD_START, next).await.unwrap_or(None),
        };
        match ended {
            Some(Ok(begun)) if begun.hears() => return Ok(begun),
            Some(Ok(begun)) => _ = second_best.get_or_insert(begun),
            Some(Err(problem)) => problems.push(problem),
            None => return second_best.ok_or_else(|| problems.join("; ")),
        }
    }
}

impl Begun {
    fn hears(&self) -> bool {
        let feed = self.heartbeat.as_ref().map(FollowHeartbeat::feed);
        matches!(feed, Some(FeedState::Live | FeedState::Off))
    }
}

async fn attempt(
    source: &UpstreamSource,
    url: &UpstreamUrl,
    position: Option<Position>,
    clock: &Clock,
) -> Result<Begun, String> {
    let begun = timeout(PATIENCE, follow(source, url, position, clock)).await;
    let begun = begun.unwrap_or_else(|_| Err(format!("it did not answer within {PATIENCE:?}")));
    begun.map_err(|problem| format!("{url}: {problem}"))
}

async fn follow(
    source: &UpstreamSource,
    url: &UpstreamUrl,
    position: Option<Position>,
    clock: &Clock,
) -> Result<Begun, String> {
    let mut client = source.connect(url).await?;
    let (pings, mut requests) = Pings::begin(position, clock);
    let requests = stream::poll_fn(move |context| requests.poll_recv(context));
    let stream = client.follow_facts(requests).await;
    let stream = stream.map_err(|status| status.message().to_owned())?.into_inner();
    let (url, opened, missed) = (url.clone(), None, Vec::new());
    let mut begun = Begun { url, client, stream, pings, opened, missed, heartbeat: None };
    while begun.heartbeat.is_none() {
        let message = begun.stream.message().await.map_err(|status| status.message().to_owned())?;
        let message = message.ok_or("it has ended the stream")?;
        begun.opened = message.opened.or(begun.opened);
        begun.missed.extend(message.changes);
        begun.heartbeat = message.heartbeat;
    }
    Ok(begun)
}
