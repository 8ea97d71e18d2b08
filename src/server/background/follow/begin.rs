//! Finding the upstream that answers best.

use std::time::Duration;

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::{SILENCE, pings::Pings, source::UpstreamSource};
use crate::{
    clock::Clock,
    config::UpstreamUrl,
    proto::{
        FollowFactsResponse,
        replication::{FeedState, FollowHeartbeat, FollowOpened, GetFactsRequest, Position},
    },
    upstream::Client,
};

/// How long an upstream may take until it says something. Once it has, it may be silent as long as any
/// stream: over a bad line what was missed takes its time.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same of a question that costs it nothing.
const SAID_BY: Duration = Duration::from_secs(1);
/// What the log says of an address that does not know what edges ask for.
const NO_SUCH_SERVICE: &str = "there is no ReplicationService: its version is older than edges are, or it is another listener";
/// What was missed, at most, in bytes. With more, beginning anew takes less.
const MAX_MISSED_BYTES: usize = 32 << 20;
/// How much longer others get, once one has answered that does not hear from the database.
const HEAD_START: Duration = Duration::from_millis(500);

/// Why none can be followed.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// More was missed than is worth being sent.
    MissedTooMuch,
    /// For these reasons.
    Failed(String),
}

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
) -> Result<Begun, NotBegun> {
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
            Some(Err(NotBegun::Failed(problem))) => problems.push(problem),
            Some(Err(too_much)) => return Err(too_much),
            None => {
                // Whichever was quicker, the same problems are the same words.
                problems.sort_unstable();
                return second_best.ok_or_else(|| NotBegun::Failed(problems.join("; ")));
            }
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
) -> Result<Begun, NotBegun> {
    let failed = |problem: String| NotBegun::Failed(format!("{url}: {problem}"));
    let client = within(PATIENCE, source.connect(url)).await.map_err(failed)?;
    let mut begun = match within(PATIENCE, follow(client.clone(), url, position, clock)).await {
        Ok(begun) => begun,
        Err(problem) => return Err(failed(unknown_there(client).await.unwrap_or(problem))),
    };
    let mut missed = 0;
    while begun.heartbeat.is_none() {
        let message = async { begun.stream.message().await.map_err(|status| said(&status)) };
        let patience = if begun.opened.is_none() { PATIENCE } else { SILENCE };
        let message = within(patience, message).await.map_err(failed)?;
        let message = message.ok_or_else(|| failed("it has ended the stream".to_owned()))?;
        begun.opened = message.opened.or(begun.opened);
        missed += message.changes.as_ref().map_or(0, prost::bytes::Bytes::len);
        if missed > MAX_MISSED_BYTES {
            return Err(NotBegun::MissedTooMuch);
        }
        begun.missed.extend(message.changes);
        begun.heartbeat = message.heartbeat;
    }
    Ok(begun)
}

async fn within<T>(
    patience: Duration,
    waiting: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let waited = timeout(patience, waiting).await;
    waited.unwrap_or_else(|_| Err(format!("it did not answer within {patience:?}")))
}

fn said(status: &Status) -> String {
    match (status.code(), status.message()) {
        (Code::Unimplemented, _) => NO_SUCH_SERVICE.to_owned(),
        (code, "") => code.to_string(),
        (_, message) => message.to_owned(),
    }
}

/// Is what edges ask for unknown there? Of a stream that is not said before it ends, which is never.
async fn unknown_there(mut client: Client) -> Option<String> {
    let asked = timeout(SAID_BY, client.get_facts(GetFactsRequest::default())).await.ok()?;
    asked.err().filter(|status| status.code() == Code::Unimplemented).map(|status| said(&status))
}

async fn follow(
    mut client: Client,
    url: &UpstreamUrl,
    position: Option<Position>,
    clock: &Clock,
) -> Result<Begun, String> {
    let (pings, mut requests) = Pings::begin(position, clock);
    let requests = stream::poll_fn(move |context| requests.poll_recv(context));
    let stream = client.follow_facts(requests).await.map_err(|status| said(&status))?;
    let (url, stream, opened, missed) = (url.clone(), stream.into_inner(), None, Vec::new());
    Ok(Begun { url, client, stream, pings, opened, missed, heartbeat: None })
}
