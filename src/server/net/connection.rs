//! A connection, from its first byte to its end.
//!
//! Connections are served with hyper, since tonic's server knows no bound for draining, kills at
//! the end of a connection's age instead of draining it, and turns two of hyper's limits off.

use std::{
    future::{Future, pending},
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::watch,
    time::Instant,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    answers::Answers,
    coalesced_writes::CoalescedWrites,
    coarse_timer::CoarseTimer,
    counted::Counting,
    inline_executor::{InlineExecutor, Served},
    listener::{Accepted, Socket},
    tls::TlsOffer,
    traffic::{Metered, Traffic},
    unread::{LOOK_EVERY, MAX_STALL, Unread, UnreadPool},
};
use crate::{
    security::tls::{Tls, names_of},
    server::jittered,
    service::{ConnectionStage, Peer, Presence},
};

/// A connection's header list, in bytes as HPACK counts them. A bearer token of 8 KiB fits.
const MAX_HEADER_LIST: u32 = 16 * 1024;
/// What callers get of [`ConnectionSettings::keep_alive_interval`].
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long it has for it.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is to be sent is kept for a stream, in bytes; a longer answer waits for its reader.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Streams that we reset because of a peer's errors, in all the time that its connection lasts.
/// This bounds the memory of resets that are not read; how many there may be beside answered
/// requests is for [`Traffic`] to say.
const MAX_LOCAL_RESETS: usize = 16 * 1024;
/// An HTTP/1.1 head takes at most so many bytes: a proxy sends the client's along, of which nginx
/// takes 32 KiB.
const MAX_HEAD: usize = 64 * 1024;
/// And so many headers.
const MAX_HEADERS: usize = 200;
/// How long a peer may take to send the head, or keep silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a peer may take until it sends its first bytes, and then until it has said hello.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// Those who watch changes get this long to move to another connection, where the drain allows it.
const GRACE: Duration = Duration::from_secs(5);

/// How connections are served.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) protocol: Protocol,
    pub(crate) max_streams: u32,
    /// A peer that is silent for this long is asked for a sign of life.
    pub(crate) keep_alive_interval: Duration,
    pub(crate) max_age: Duration,
    /// How long a drain may take.
    pub(crate) drain_timeout: Duration,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// What all connections share for answers that are not read.
    pub(crate) unread: UnreadPool,
    /// `None`: in the clear.
    pub(crate) tls: Option<TlsOffer>,
}

impl ConnectionSettings {
    /// How long a connection that is to end may last: what is under way is answered, and the
    /// answers are read, or not. Whoever does not read them would stay for ever.
    fn last_answers(&self) -> Duration {
        self.request_timeout + self.drain_timeout
    }
}

/// What connections speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, and 1.0.
    Http1,
    /// HTTP/2 from the first byte, as gRPC does.
    Http2,
}

/// Resolves when the peer of a connection is no longer trusted.
type Distrusted = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves a connection until it ends, or has to leave its seat to another one.
pub(crate) async fn serve(
    accepted: Accepted,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
) {
    let Accepted { stream, places: _places, seat } = accepted;
    let presence = seat.as_ref().map(|seat| Arc::clone(&seat.presence)).unwrap_or_default();
    let serving = serve_any(stream, presence, front, settings, draining);
    match seat {
        None => serving.await,
        Some(seat) => tokio::select! {
            () = serving => {}
            // Nothing is under way there.
            () = seat.must_leave() => {}
        },
    }
}

async fn serve_any(
    stream: Socket,
    presence: Arc<Presence>,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
) {
    let served = match stream {
        Socket::Tcp(stream) => match TcpStream::from_std(stream) {
            Ok(stream) if !has_begun(stream.readable(), draining.clone()).await => return,
            Ok(stream) => {
                let address = stream.peer_addr().ok().map(|address| address.ip());
                serve_over(
                    stream,
                    Peer { address, presence, ..Peer::default() },
                    front,
                    settings,
                    draining,
                )
                .await
            }
            Err(error) => {
                return tracing::warn!(%error, "a connection was lost before it began: {error}");
            }
        },
        Socket::Unix(stream) => match UnixStream::from_std(stream) {
            Ok(stream) if !has_begun(stream.readable(), draining.clone()).await => return,
            Ok(stream) => {
                serve_stream(
                    stream,
                    Peer { presence, ..Peer::default() },
                    front,
                    settings,
                    draining,
                    Box::pin(pending()),
                )
                .await
            }
            Err(error) => {
                return tracing::warn!(%error, "a connection was lost before it began: {error}");
            }
        },
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly: {error}");
    }
}

/// Serves a connection over TLS, where that is offered.
async fn serve_over(
    stream: TcpStream,
    peer: Peer,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let Some(tls) = settings.tls.clone() else {
        return serve_stream(stream, peer, front, settings, draining, Box::pin(pending())).await;
    };
    let offered = |tls: &Tls| match settings.protocol {
        Protocol::Http1 => Arc::clone(&tls.http1),
        Protocol::Http2 => Arc::clone(&tls.http2),
    };
    let (stream, chain) = match tls.accept(stream, offered).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(%error, address = ?peer.address, "a client and this server did not agree on TLS: {error}");
            return Ok(());
        }
    };
    let names = chain.first().map(names_of).unwrap_or_default();
    let distrusted = Box::pin(async move { tls.distrusts(&chain).await });
    serve_stream(
        stream,
        Peer { names: names.into(), ..peer },
        front,
        settings,
        draining,
        distrusted,
    )
    .await
}

/// Waits for a peer's first bytes. One that never sends any would keep its place, and hold up a
/// drain.
async fn has_begun(
    readable: impl Future<Output = io::Result<()>>,
    mut draining: watch::Receiver<bool>,
) -> bool {
    tokio::select! {
        readable = tokio::time::timeout(FIRST_BYTES, readable) => matches!(readable, Ok(Ok(()))),
        _ = draining.wait_for(|draining| *draining) => false,
    }
}

/// Breaks off where the peer takes nothing of what is written.
fn ending_where_stuck<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(MAX_STALL));
    Box::pin(stream)
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
    mut distrusted: Distrusted,
) -> hyper::Result<()> {
    let (stage, ending) = watch::channel(ConnectionStage::Open);
    let stream = ending_where_stuck(stream);
    match settings.protocol {
        Protocol::Http2 => {
            let traffic = Traffic::new(settings.max_streams);
            let unread = Unread::new(settings.unread.clone());
            let requests = InlineExecutor::new(traffic.clone(), Arc::clone(&unread));
            // Before the connection, so that it is dropped after it.
            let _let_go = requests.drop_requests_at_the_end();
            let answers = Counting::new(front, peer, ending, Arc::clone(&unread));
            let connection = http2::Builder::new(requests.clone())
                .timer(CoarseTimer::new())
                .max_concurrent_streams(settings.max_streams)
                .max_header_list_size(MAX_HEADER_LIST)
                .max_pending_accept_reset_streams(traffic.max_pending_resets())
                .max_local_error_reset_streams(MAX_LOCAL_RESETS)
                .max_send_buf_size(MAX_SEND_BUFFER)
                .keep_alive_interval(settings.keep_alive_interval)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                // Nobody who speaks gRPC reads it.
                .auto_date_header(false)
                .serve_connection(
                    TokioIo::new(CoalescedWrites::new(Metered::new(stream, traffic.clone()))),
                    answers,
                );
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
            // Tells the peer to open no more streams, and lets those that are open finish. Those
            // who watch never would.
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
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(|request| front.answer(request, &peer, &ending)),
                );
            let mut connection = pin!(connection);
            tokio::select! {
                served = connection.as_mut() => return served,
                _ = must_end(draining, settings.max_age, &mut distrusted, None) => {}
            }
            // Answers the request that is under way, and closes.
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(settings.last_answers(), connection).await.unwrap_or(Ok(()))
        }
    }
}

/// Waits until a connection has to end: the server stops, its peer is no longer trusted, or it has
/// lasted long enough. Gives how soon it ends; `None`: at once, since it has not begun.
async fn must_end(
    mut draining: watch::Receiver<bool>,
    max_age: Duration,
    distrusted: &mut Distrusted,
    watched: Option<(&Traffic, &Unread)>,
) -> Option<ConnectionStage> {
    tokio::select! {
        () = distrusted => Some(ConnectionStage::Ended),
        _ = draining.wait_for(|draining| *draining) => Some(ConnectionStage::Ending),
        reached = comes_of_age(max_age, watched) => reached,
    }
}

/// Waits until a connection has lasted long enough; too long without its peer's hello, for which
/// hyper waits for ever; or as long as none may that keeps answers which its peer does not let
/// pass. Callers who came together do not leave together.
async fn comes_of_age(
    max_age: Duration,
    watched: Option<(&Traffic, &Unread)>,
) -> Option<ConnectionStage> {
    let began = Instant::now();
    let end = began + jittered(max_age);
    let Some((traffic, unread)) = watched else {
        tokio::time::sleep_until(end).await;
        return Some(ConnectionStage::Ending);
    };
    let mut look = began + FIRST_BYTES;
    loop {
        tokio::time::sleep_until(end.min(look)).await;
        if !traffic.has_begun() {
            tracing::debug!(
                "a connection was closed: its peer had not said hello after {FIRST_BYTES:?}"
            );
            return None;
        }
        if unread.is_stuck() {
            tracing::debug!(
                "a connection is asked to end: for {MAX_STALL:?} its peer has let an answer pass only in part"
            );
            return Some(ConnectionStage::Ending);
        }
        if look >= end {
            return Some(ConnectionStage::Ending);
        }
        look += LOOK_EVERY;
    }
}

#[cfg(test)]
mod tests;
