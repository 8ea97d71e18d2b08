//! A client that speaks HTTP/2 frame by frame, and what answers it.

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};
use tonic::{Status, body::Body};

use crate::{
    server::net::{
        answers::Answers,
        connection::{ConnectionSettings, Protocol, serve_stream},
        unread::UnreadPool,
    },
    service::{Ending, Peer},
};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames (RFC 9113, section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// POST http://a/ in HPACK.
pub(super) const REQUEST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
/// The flags END_STREAM and END_HEADERS.
pub(super) const WHOLE: u8 = 5;

/// Answers every request with this content, and counts them.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) size: usize,
    pub(super) answered: Arc<AtomicUsize>,
}

impl Answers for Contents {
    type Answer = Ready<Result<Response<Body>, Infallible>>;

    fn answer(&self, _request: Request<Incoming>, _peer: &Peer, _ending: &Ending) -> Self::Answer {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let content = Full::new(Bytes::from(vec![7; self.size]))
            .map_err(|never: Infallible| -> Status { match never {} });
        ready(Ok(Response::new(Body::new(
            content.with_trailers(ready(Some(Ok(HeaderMap::new())))),
        ))))
    }
}

/// Answers every request with content that never comes.
pub(super) struct Quiet;

impl Answers for Quiet {
    type Answer = Ready<Result<Response<Body>, Infallible>>;

    fn answer(&self, _request: Request<Incoming>, _peer: &Peer, _ending: &Ending) -> Self::Answer {
        let content =
            http_body_util::StreamBody::new(futures_util::stream::pending::<Result<_, Status>>());
        ready(Ok(Response::new(Body::new::<http_body_util::StreamBody<_>>(content))))
    }
}

/// The client's end of a connection that is served.
pub(super) struct Client {
    stream: DuplexStream,
    pub(super) serving: JoinHandle<hyper::Result<()>>,
    pub(super) began: Instant,
    _drain: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) size: usize,
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

pub(super) fn window_update(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

impl Client {
    pub(super) fn by(front: impl Answers) -> Self {
        let (client, stream) = duplex(64 * 1024);
        let (drain, draining) = watch::channel(false);
        let settings = ConnectionSettings {
            protocol: Protocol::Http2,
            max_streams: 256,
            // hyper's own clock for it cannot be paused.
            keep_alive_interval: Duration::from_hours(1),
            max_age: Duration::from_hours(1),
            drain_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            unread: UnreadPool::default(),
            tls: None,
        };
        let serving = serve_stream(
            stream,
            Peer::default(),
            Arc::new(front),
            settings,
            draining,
            Box::pin(pending()),
        );
        Self {
            stream: client,
            serving: tokio::spawn(serving),
            began: Instant::now(),
            _drain: drain,
        }
    }

    /// Says hello, with this initial window for each stream.
    pub(super) async fn greeted(front: impl Answers, window: u32) -> Self {
        let mut client = Self::by(front);
        let settings = frame(SETTINGS, 0, 0, &[&[0, 4], &window.to_be_bytes()[..]].concat());
        client.send(&[PREFACE, &settings].concat()).await;
        client
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends requests on the streams of these numbers.
    pub(super) async fn ask(&mut self, streams: impl IntoIterator<Item = u32>) {
        for stream in streams {
            self.send(&frame(HEADERS, WHOLE, stream, &REQUEST)).await;
        }
    }

    /// The next frame that is about a stream.
    pub(super) async fn next(&mut self) -> Frame {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            let [_, _, _, kind, _, stream @ ..] = head;
            let stream = u32::from_be_bytes(stream);
            if stream != 0 {
                return Frame { kind, stream, size: payload.len() };
            }
        }
    }

    /// The next frame of this kind; gives its stream.
    pub(super) async fn next_of(&mut self, kind: u8) -> u32 {
        loop {
            let frame = self.next().await;
            if frame.kind == kind {
                return frame.stream;
            }
        }
    }

    /// Waits until it has ended; gives after how long.
    pub(super) async fn end(self) -> Duration {
        _ = self.serving.await.unwrap();
        self.began.elapsed()
    }
}
