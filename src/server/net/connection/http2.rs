//! Connections that speak HTTP/2.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{
    ConnectionSettings,
    lifetime::{Distrusted, must_end},
};
use crate::{
    server::net::{
        answers::Answers,
        coalesced_writes::CoalescedWrites,
        coarse_timer::CoarseTimer,
        counted::Counting,
        inline_executor::{InlineExecutor, Served},
        traffic::{Metered, Traffic},
        unread::Unread,
    },
    service::{ConnectionStage, Peer},
};

/// A connection's header list, in bytes as HPACK counts them. A bearer token of 8 KiB fits.
const MAX_HEADER_LIST: u32 = 16 * 1024;
/// How long a peer has for the sign of life that it is asked for.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is to be sent is kept for a stream, in bytes; a longer answer waits for its reader.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Streams that we reset because of a peer's errors, in all the time that its connection lasts.
/// This bounds the memory of resets that are not read; how many there may be beside answered
/// requests is for [`Traffic`] to say.
const MAX_LOCAL_RESETS: usize = 16 * 1024;
/// Those who watch changes get this long to move to another connection, where the drain allows it.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
    mut distrusted: Distrusted,
) -> hyper::Result<()> {
    let (stage, ending) = watch::channel(ConnectionStage::Open);
    let traffic = Traffic::new(settings.max_streams);
    let unread = Unread::new(settings.unread.clone());
    let requests = InlineExecutor::new(traffic.clone(), Arc::clone(&unread));
    // Before the connection, so that it is dropped after it.
    let _dropping = requests.drop_requests_at_the_end();
    let answers = Counting::new(front, peer, ending, Arc::clone(&unread));
    let stream = TokioIo::new(CoalescedWrites::new(Metered::new(stream, traffic.clone())));
    let connection = builder(&requests, &settings, &traffic).serve_connection(stream, answers);
    let mut connection = pin!(connection);
    let reached = tokio::select! {
        served = requests.serve(connection.as_mut()) => match served {
            Served::Ended(ended) => return ended,
            Served::Spent => ConnectionStage::Ending,
        },
        reached = must_end(draining, settings.max_age, &mut distrusted, Some((&traffic, &unread))) => match reached {
            Some(reached) => reached,
            None => return Ok(()),
        },
    };
    // Tells the peer to open no more streams, and lets those that are open finish. Those who watch
    // never would.
    _ = stage.send(reached);
    connection.as_mut().graceful_shutdown();
    if reached == ConnectionStage::Ending {
        tokio::select! {
            ended = requests.serve_to_the_end(connection.as_mut()) => return ended,
            // Half of a drain is left to what else is under way.
            () = tokio::time::sleep(GRACE.min(settings.drain_timeout / 2)) => {}
            () = &mut distrusted => {}
        }
        _ = stage.send(ConnectionStage::Ended);
    }
    let leaving = requests.serve_to_the_end(connection);
    tokio::time::timeout(settings.last_answers(), leaving).await.unwrap_or(Ok(()))
}

fn builder(
    requests: &InlineExecutor,
    settings: &ConnectionSettings,
    traffic: &Traffic,
) -> http2::Builder<InlineExecutor> {
    let mut builder = http2::Builder::new(requests.clone());
    builder
        .timer(CoarseTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(traffic.max_pending_resets())
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(settings.keep_alive_interval)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        // Nobody who speaks gRPC reads it.
        .auto_date_header(false);
    builder
}
