//! HTTP/1 by hand, over a connection that is used again.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::super::http::Reply;

/// Longer than any proxy waits for what it asks.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client's connection.
pub struct Connection {
    stream: TcpStream,
    /// What came after what has been read.
    rest: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), rest: Vec::new() }
    }

    /// Sends these bytes, and reads one answer: of a HEAD it has no body. `None`: the connection has
    /// ended without one.
    pub async fn try_exchange(&mut self, request: &[u8]) -> Option<Reply> {
        // Who has had enough of a request closes before all of it is sent.
        _ = self.stream.write_all(request).await;
        loop {
            if self.rest.is_empty() && self.more().await == 0 {
                return None;
            }
            let reply = self.reply(request.starts_with(b"HEAD ")).await;
            if reply.status >= 200 || reply.status == 101 {
                return Some(reply);
            }
        }
    }

    /// Sends bytes over a connection that was upgraded, and reads as many as are expected.
    pub async fn upgraded(&mut self, bytes: &[u8], expected: usize) -> Vec<u8> {
        self.stream.write_all(bytes).await.unwrap();
        self.read(expected).await
    }

    async fn reply(&mut self, is_without_body: bool) -> Reply {
        let head = self.line_end(b"\r\n\r\n").await;
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.trim_end().to_lowercase();
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::trim))
        };
        let body = if is_without_body || status < 200 || [204, 304].contains(&status) {
            Vec::new()
        } else if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            self.chunks().await
        } else if let Some(length) = header("content-length") {
            self.read(length.parse().unwrap()).await
        } else {
            self.until_end().await
        };
        Reply { status, body: String::from_utf8(body).unwrap(), head }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.line_end(b"\r\n").await).unwrap();
            let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let chunk = self.read(length + 2).await;
            body.extend(&chunk[..length]);
            if length == 0 {
                return body;
            }
        }
    }

    /// What comes before this end, and the end.
    async fn line_end(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end) {
                return self.rest.drain(..at + end.len()).collect();
            }
            assert_ne!(self.more().await, 0, "it has ended: {:?}", self.rest);
        }
    }

    async fn read(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            assert_ne!(self.more().await, 0, "it has ended: {:?}", self.rest);
        }
        self.rest.drain(..length).collect()
    }

    async fn until_end(&mut self) -> Vec<u8> {
        while self.more().await != 0 {}
        std::mem::take(&mut self.rest)
    }

    async fn more(&mut self) -> usize {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.rest)).await;
        // A reset is an end too.
        read.expect("an answer comes in time").unwrap_or(0)
    }
}
