//! Connections that speak HTTP/1.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{
    ConnectionSettings,
    lifetime::{Distrusted, must_end},
};
use crate::{
    server::net::answers::Answers,
    service::{ConnectionStage, Peer},
};

/// An HTTP/1.1 head takes at most so many bytes: a proxy sends the client's along, of which nginx
/// takes 32 KiB.
const MAX_HEAD: usize = 64 * 1024;
/// And so many headers.
const MAX_HEADERS: usize = 200;
/// How long a peer may take to send the head, or keep silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
    mut distrusted: Distrusted,
) -> hyper::Result<()> {
    let (_stage, ending) = watch::channel(ConnectionStage::Open);
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
