//! HTTP/2 by hand, as far as calling one gRPC method over a connection needs it.

use std::mem;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
/// Largest payload of a frame that a server takes, unless it says otherwise.
const MAX_PAYLOAD: usize = 16 * 1024;
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection to a server, over which one method is called.
pub struct Connection {
    stream: Box<dyn Stream>,
    headers: Vec<u8>,
    out: Vec<u8>,
    buffer: Vec<u8>,
    next_stream: u32,
    received: u32,
}

/// What comes from a server.
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

impl Connection {
    /// Connects to a Unix socket.
    pub async fn open_socket(socket: &std::path::Path, path: &str) -> Self {
        let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        Self::over(Box::new(stream), path).await
    }

    /// Connects in the clear, or to a server that is named localhost.
    pub async fn open(tls: Option<&TlsConnector>, port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = match tls {
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(tls.connect(name, stream).await.unwrap())
            }
            None => Box::new(stream),
        };
        Self::over(stream, path).await
    }

    async fn over(mut stream: Box<dyn Stream>, path: &str) -> Self {
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        write(&mut out, SETTINGS, 0, 0, &[0, 4, 0x3f, 0xff, 0xff, 0xff]);
        write(&mut out, WINDOW_UPDATE, 0, 0, &0x3fff_0000u32.to_be_bytes());
        stream.write_all(&out).await.unwrap();
        stream.flush().await.unwrap();
        let buffer = Vec::with_capacity(1 << 16);
        Self {
            stream,
            headers: first_headers(path),
            out: Vec::new(),
            buffer,
            next_stream: 1,
            received: 0,
        }
    }

    /// Writes a question, which is sent with the next exchange. Gives its stream.
    pub fn request(&mut self, body: &[u8]) -> u32 {
        let stream = self.next_stream;
        write(&mut self.out, HEADERS, END_HEADERS, stream, &self.headers);
        let last = body.len().saturating_sub(1) / MAX_PAYLOAD;
        for (number, part) in body.chunks(MAX_PAYLOAD).enumerate() {
            write(&mut self.out, DATA, if number == last { END_STREAM } else { 0 }, stream, part);
        }
        if stream == 1 {
            self.headers = later_headers();
        }
        self.next_stream += 2;
        stream
    }

    /// Sends what was written, waits until something comes, and hands it over by frames. False
    /// where the server has closed.
    pub async fn exchange(&mut self, mut take: impl FnMut(&mut Self, Frame<'_>)) -> bool {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await.unwrap();
            self.stream.flush().await.unwrap();
            self.out.clear();
        }
        let mut buffer = mem::take(&mut self.buffer);
        let read = self.stream.read_buf(&mut buffer).await.unwrap_or(0);
        let mut at = 0;
        while let Some(frame) = parse(&buffer[at..]) {
            at += 9 + frame.payload.len();
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK != 0 => {}
                SETTINGS => write(&mut self.out, SETTINGS, ACK, 0, &[]),
                PING => write(&mut self.out, PING, ACK, 0, frame.payload),
                _ => {
                    self.received +=
                        if frame.kind == DATA { frame.payload.len() as u32 } else { 0 };
                    take(self, frame);
                }
            }
        }
        buffer.drain(..at);
        self.buffer = buffer;
        if self.received > 1 << 28 {
            write(&mut self.out, WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
            self.received = 0;
        }
        read != 0
    }
}

fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    let (head, rest) = bytes.split_first_chunk::<9>()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream, payload: rest.get(..length)? })
}

/// A gRPC message: uncompressed, its length, itself.
pub fn body(message: &impl prost::Message) -> Vec<u8> {
    let mut body = vec![0];
    body.extend((message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut body).unwrap();
    body
}

/// HPACK (RFC 7541): the first request puts five headers into the server's table, later ones point
/// there.
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
