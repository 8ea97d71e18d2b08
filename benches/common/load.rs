//! A load of gRPC calls that costs little to make: HTTP/2 frames written and counted by hand.
//!
//! A real client takes about as much CPU per call as the server, and so measures itself.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

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

/// Calls a server for a while, over some connections with some streams each. The bodies are chosen at random.
///
/// Every answer must begin with these bytes: a server that refuses is fast, and no use.
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
    [connections, streams]: [usize; 2],
    duration: Duration,
) -> Outcome {
    let started = Instant::now();
    let until = started + duration;
    let one = |seed: usize| async move {
        let mut connection = Connection::open(tls, port, path, seed as u64 + 1).await;
        connection.run(bodies, answer, streams, until).await
    };
    let all = futures_util::future::join_all((0..connections).map(one)).await;
    let mut latencies: Vec<u64> = all.into_iter().flatten().collect();
    latencies.sort_unstable();
    Outcome { answers: latencies.len() as u64, elapsed: started.elapsed(), latencies }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    headers: Vec<u8>,
    out: Vec<u8>,
    next_stream: u32,
    random: u64,
    received: u32,
}

impl Connection {
    async fn open(tls: Option<&TlsConnector>, port: u16, path: &str, random: u64) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream: Box<dyn Stream> = match tls {
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(tls.connect(name, stream).await.unwrap())
            }
            None => Box::new(stream),
        };
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut out, SETTINGS, 0, 0, &[0, 4, 0x3f, 0xff, 0xff, 0xff]);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &0x3fff_0000u32.to_be_bytes());
        stream.write_all(&out).await.unwrap();
        stream.flush().await.unwrap();
        let first = first_headers(path);
        Self { stream, headers: first, out: Vec::new(), next_stream: 1, random, received: 0 }
    }

    async fn run(&mut self, bodies: &[Vec<u8>], answer: &[u8], streams: usize, until: Instant) -> Vec<u64> {
        let mut latencies = Vec::new();
        let mut begun: Vec<Instant> = Vec::new();
        let mut open = streams;
        for _ in 0..streams {
            self.request(bodies, &mut begun);
        }
        let mut buffer = Vec::with_capacity(1 << 16);
        while open > 0 {
            self.stream.write_all(&self.out).await.unwrap();
            self.stream.flush().await.unwrap();
            self.out.clear();
            assert_ne!(self.stream.read_buf(&mut buffer).await.unwrap(), 0, "the server closed the connection");
            let now = Instant::now();
            let mut at = 0;
            while let Some((kind, flags, stream, payload)) = parse(&buffer[at..]) {
                at += 9 + payload.len();
                match kind {
                    DATA => {
                        assert!(payload[5..].starts_with(answer), "not the answer: {payload:?}");
                        self.received += payload.len() as u32;
                    }
                    HEADERS if flags & END_STREAM != 0 => {
                        latencies.push((now - begun[stream as usize / 2]).as_nanos() as u64);
                        if now < until { self.request(bodies, &mut begun) } else { open -= 1 }
                    }
                    SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
                    PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
                    RST_STREAM | GOAWAY => panic!("refused: frame {kind} {payload:?}"),
                    _ => {}
                }
            }
            buffer.drain(..at);
            if self.received > 1 << 28 {
                frame(&mut self.out, WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
                self.received = 0;
            }
        }
        latencies
    }

    fn request(&mut self, bodies: &[Vec<u8>], begun: &mut Vec<Instant>) {
        // xorshift: which body comes next must not cost what is measured.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let body = &bodies[(self.random % bodies.len() as u64) as usize];
        frame(&mut self.out, HEADERS, END_HEADERS, self.next_stream, &self.headers);
        frame(&mut self.out, DATA, END_STREAM, self.next_stream, body);
        self.next_stream += 2;
        if begun.is_empty() {
            self.headers = later_headers();
        }
        begun.push(Instant::now());
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn parse(bytes: &[u8]) -> Option<(u8, u8, u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<9>()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, rest.get(..length)?))
}

/// HPACK (RFC 7541): the first request puts five headers into the server's table, later ones point there.
fn first_headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut literal = |prefix: &[u8], value: &str| {
        block.extend_from_slice(prefix);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    };
    literal(&[0x44], path);
    literal(&[0x41], "127.0.0.1");
    literal(&[0x5f], "application/grpc");
    literal(b"\x40\x02te", "trailers");
    literal(&[0x7a], "bench");
    block
}

fn later_headers() -> Vec<u8> {
    vec![0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]
}
