//! A load of gRPC calls that costs little to make: HTTP/2 frames written and counted by hand.
//!
//! A real client takes about as much CPU per call as the server, and so measures itself.

#[path = "h2.rs"]
pub mod h2;

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

pub use h2::body;
use h2::{Connection, DATA, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM};
use tokio_rustls::TlsConnector;

/// Who is asked, what, and over how many connections with how many streams each.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub tls: Option<&'a TlsConnector>,
    /// Where it is asked instead of at the port.
    pub socket: Option<&'a std::path::Path>,
    pub port: u16,
    pub path: &'a str,
    /// Each body is a question.
    pub bodies: &'a [Vec<u8>],
    /// Every answer must begin with these bytes: a server that denies is fast, and no use.
    pub answer: &'a [u8],
    pub load: [usize; 2],
}

/// Takes in what becomes of each question.
pub trait Sink {
    /// The message of an answer, which is about to be whole.
    fn told(&self, _message: &[u8]) {}
    fn answered(&self, after: Duration);
    /// A status came in place of an answer.
    fn failed(&self);
}

/// What a load came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub answers: u64,
    pub elapsed: Duration,
    /// Sorted, in nanoseconds.
    pub latencies: Vec<u64>,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    pub fn percentile(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() - 1) * percent / 100] as f64
    }
}

/// Nanoseconds of each answer, for a load of seconds.
impl Sink for RefCell<Vec<u64>> {
    fn answered(&self, after: Duration) {
        self.borrow_mut().push(after.as_nanos() as u64);
    }

    fn failed(&self) {
        panic!("a status in place of an answer");
    }
}

/// Calls a server for a while. The bodies are chosen at random.
pub async fn drive(
    port: u16,
    path: &str,
    bodies: &[Vec<u8>],
    answer: &[u8],
    load: [usize; 2],
    duration: Duration,
) -> Outcome {
    drive_over(None, port, path, bodies, answer, load, duration).await
}

/// The same over TLS, to a server that is named localhost.
pub async fn drive_over(
    tls: Option<&TlsConnector>,
    port: u16,
    path: &str,
    bodies: &[Vec<u8>],
    answer: &[u8],
    load: [usize; 2],
    duration: Duration,
) -> Outcome {
    let started = Instant::now();
    let latencies = RefCell::default();
    let target = Target { tls, socket: None, port, path, bodies, answer, load };
    drive_into(&latencies, target, started + duration).await;
    let mut latencies = latencies.into_inner();
    latencies.sort_unstable();
    Outcome { answers: latencies.len() as u64, elapsed: started.elapsed(), latencies }
}

/// The same for as long as one likes: what becomes of each question is kept nowhere else.
pub async fn drive_into(sink: &impl Sink, target: Target<'_>, until: Instant) {
    let one = |seed: usize| async move {
        // xorshift: which body comes next must not cost what is measured.
        let mut random = seed as u64 + 1;
        let next = |now: Instant| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (now < until)
                .then(|| &target.bodies[(random % target.bodies.len() as u64) as usize][..])
        };
        ask(sink, target, next).await;
    };
    futures_util::future::join_all((0..target.load[0]).map(one)).await;
}

/// Asks each question once.
pub async fn ask_each(sink: &impl Sink, target: Target<'_>) {
    let rest = RefCell::new(target.bodies.iter());
    let one = |_| ask(sink, target, |_| rest.borrow_mut().next().map(Vec::as_slice));
    futures_util::future::join_all((0..target.load[0]).map(one)).await;
}

/// Asks as long as there are questions, over another connection where the server has asked for the
/// end of one.
async fn ask<'a>(
    sink: &impl Sink,
    target: Target<'_>,
    mut next: impl FnMut(Instant) -> Option<&'a [u8]>,
) {
    loop {
        let mut connection = match target.socket {
            Some(socket) => Connection::open_socket(socket, target.path).await,
            None => Connection::open(target.tls, target.port, target.path).await,
        };
        let mut caller = Caller {
            sink,
            answer: target.answer,
            next: &mut next,
            open: Vec::new(),
            leaving: false,
        };
        for _ in 0..target.load[1] {
            caller.ask_next(&mut connection, Instant::now());
        }
        while !caller.open.is_empty() {
            let mut now = None;
            let exchanged = connection.exchange(|connection, frame| {
                let now = *now.get_or_insert_with(Instant::now);
                caller.take(connection, &frame, now);
            });
            if !exchanged.await {
                assert!(caller.leaving, "the server closed the connection");
                caller.open.drain(..).for_each(|_| sink.failed());
            }
        }
        if !caller.leaving {
            return;
        }
    }
}

/// Who asks over one connection.
struct Caller<'c, S, N> {
    sink: &'c S,
    answer: &'c [u8],
    next: &'c mut N,
    /// Few enough to be looked through.
    open: Vec<Asked>,
    /// The server has asked for the connection's end.
    leaving: bool,
}

/// A question that is under way.
struct Asked {
    stream: u32,
    at: Instant,
    is_answered: bool,
}

impl<'a, S: Sink, N: FnMut(Instant) -> Option<&'a [u8]>> Caller<'_, S, N> {
    fn ask_next(&mut self, connection: &mut Connection, now: Instant) {
        if !self.leaving
            && let Some(body) = (self.next)(now)
        {
            let stream = connection.request(body);
            self.open.push(Asked { stream, at: Instant::now(), is_answered: false });
        }
    }

    fn take(&mut self, connection: &mut Connection, frame: &Frame<'_>, now: Instant) {
        match frame.kind {
            DATA => {
                assert!(
                    frame.payload[5..].starts_with(self.answer),
                    "not the answer: {:?}",
                    frame.payload
                );
                self.sink.told(&frame.payload[5..]);
                let place = self.place(frame.stream);
                self.open[place].is_answered = true;
            }
            HEADERS if frame.flags & END_STREAM != 0 => self.end(connection, frame.stream, now),
            RST_STREAM => {
                let place = self.place(frame.stream);
                self.open[place].is_answered = false;
                self.end(connection, frame.stream, now);
            }
            GOAWAY => {
                assert_eq!(
                    frame.payload[4..8],
                    [0; 4],
                    "the connection is refused: {:?}",
                    frame.payload
                );
                self.leaving = true;
                // What the server has not begun with may be asked elsewhere, and is not missed
                // here.
                let last = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
                self.open.retain(|asked| asked.stream <= last);
            }
            _ => {}
        }
    }

    fn end(&mut self, connection: &mut Connection, stream: u32, now: Instant) {
        let place = self.place(stream);
        let asked = self.open.swap_remove(place);
        if asked.is_answered {
            self.sink.answered(now - asked.at)
        } else {
            self.sink.failed()
        }
        self.ask_next(connection, now);
    }

    fn place(&self, stream: u32) -> usize {
        self.open.iter().position(|asked| asked.stream == stream).expect("a stream that is open")
    }
}
