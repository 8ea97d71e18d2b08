//! A load of HTTP/1.1 requests that costs little to make: one after the other over each connection,
//! written and read by hand.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a load came to.
pub struct Answered {
    pub elapsed: Duration,
    /// Sorted, in nanoseconds.
    pub latencies: Vec<u64>,
}

impl Answered {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn micros(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() - 1) * percent / 100] as f64 / 1000.0
    }
}

/// Asks for a while over so many connections. The requests are chosen at random, and each must be
/// answered with 200: a server that denies is fast, and no use.
pub async fn drive(
    port: u16,
    requests: &[Vec<u8>],
    connections: usize,
    duration: Duration,
) -> Answered {
    let started = Instant::now();
    let latencies = RefCell::default();
    let one = |seed| ask(port, requests, seed, started + duration, &latencies);
    futures_util::future::join_all((0..connections).map(one)).await;
    let mut latencies: Vec<u64> = latencies.into_inner();
    latencies.sort_unstable();
    Answered { elapsed: started.elapsed(), latencies }
}

async fn ask(
    port: u16,
    requests: &[Vec<u8>],
    seed: usize,
    until: Instant,
    latencies: &RefCell<Vec<u64>>,
) {
    let mut connection = Connection::open(port).await;
    // xorshift: which request comes next must not cost what is measured.
    let mut random = seed as u64 + 1;
    loop {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let asked = Instant::now();
        if asked >= until {
            return;
        }
        let request = &requests[(random % requests.len() as u64) as usize];
        let answer = connection.ask(request).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
        latencies.borrow_mut().push(asked.elapsed().as_nanos() as u64);
    }
}

/// A connection over which requests go one after the other; another one once the server has ended
/// it, as nginx does after a thousand.
pub struct Connection {
    port: u16,
    stream: TcpStream,
    buffer: Vec<u8>,
    has_ended: bool,
}

impl Connection {
    pub async fn open(port: u16) -> Self {
        let buffer = Vec::with_capacity(16 * 1024);
        Self { port, stream: connect(port).await, buffer, has_ended: false }
    }

    /// The whole answer, with its head.
    pub async fn ask(&mut self, request: &[u8]) -> &[u8] {
        if self.has_ended {
            self.stream = connect(self.port).await;
        }
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let (head, whole) = loop {
            match lengths(&self.buffer) {
                Some((head, whole)) if whole <= self.buffer.len() => break (head, whole),
                _ => {}
            }
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the connection was closed without a word");
        };
        self.has_ended = header(&self.buffer[..head], b"connection:")
            .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"close"));
        &self.buffer[..whole]
    }
}

async fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The lengths of an answer's head and of the whole, once the head is there.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let body = header(&bytes[..head], b"content-length:").expect("an answer says how long it is");
    let body: usize = String::from_utf8_lossy(body).trim().parse().unwrap();
    Some((head, head + 4 + body))
}

fn header<'a>(head: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(wanted.len())?;
        name.eq_ignore_ascii_case(wanted).then_some(value)
    })
}
