//! A connection, from its first byte to its end.
//!
//! Connections are served with hyper, since tonic's server knows no bound for draining, kills at
//! the end of a connection's age instead of draining it, and turns two of hyper's limits off.

mod http1;
mod http2;
mod lifetime;
mod settings;

use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::watch,
};
use tokio_io_timeout::TimeoutStream;

use self::lifetime::Distrusted;
pub(crate) use self::settings::{ConnectionSettings, KEEP_ALIVE_INTERVAL, Protocol};
use super::{
    answers::Answers,
    listener::{Accepted, Socket},
    unread::MAX_STALL,
};
use crate::{
    observability::log_limiter::{LogLimiter, log_limited},
    security::tls::{Tls, names_of},
    service::{Peer, Presence},
};

static LOST: LogLimiter = LogLimiter::new();

/// How long a peer may take until it sends its first bytes, and then until it has said hello.
const FIRST_BYTES: Duration = Duration::from_secs(10);

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
                return log_limited!(LOST, warn, %error, "a connection was lost before it began: {error}");
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
                return log_limited!(LOST, warn, %error, "a connection was lost before it began: {error}");
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
            tracing::debug!(%error, address = ?peer.address, "a TLS handshake failed: {error}");
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
    distrusted: Distrusted,
) -> hyper::Result<()> {
    let stream = ending_where_stuck(stream);
    match settings.protocol {
        Protocol::Http2 => http2::serve(stream, peer, front, settings, draining, distrusted).await,
        Protocol::Http1 => http1::serve(stream, peer, front, settings, draining, distrusted).await,
    }
}

#[cfg(test)]
mod tests;
