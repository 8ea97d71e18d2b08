//! HTTP/2 by hand: frames as somebody hostile sends them (RFC 9113, section 6).

use std::{net::SocketAddr, time::Duration};

use entitlementd::config::ListenAddress;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer than the server takes for anything.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a gRPC call, none of them compressed.
pub fn call(path: &str) -> Vec<u8> {
    // :method POST and :scheme http of the static table, then literals that are not remembered (RFC
    // 7541, section 6.2.2).
    let mut block = vec![0x83, 0x86];
    for (name, value) in
        [(&[0x04][..], path), (&[0x01], "localhost"), (&[0x0f, 0x10], "application/grpc")]
    {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    block
}

/// A connection that has said hello.
pub struct Wire(TcpStream);

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Wire {
    /// Connects with these settings, each a number and a value.
    pub async fn connect(address: &ListenAddress, settings: &[(u16, u32)]) -> Self {
        let ListenAddress::Tcp(address) = address else { panic!("no address") };
        Self::connect_to(*address, settings).await
    }

    pub async fn connect_to(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let settings = settings.iter().flat_map(|(number, value)| {
            let mut setting = number.to_be_bytes().to_vec();
            setting.extend(value.to_be_bytes());
            setting
        });
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &settings.collect::<Vec<_>>())].concat();
        stream.write_all(&hello).await.unwrap();
        Self(stream)
    }

    /// Sends bytes; `false`: the server has had enough.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.0.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next frame; `None`: the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head))
            .await
            .expect("the server says something")
            .ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let [.., kind, flags, a, b, c, d] = head;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([a, b, c, d]), payload })
    }

    /// The next frame of this kind; `None`: the connection has ended before one came.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Sends without end while somebody reads, up to so many times; gives the error of the GOAWAY
    /// that ends it. `None`: it ended without one, or never.
    pub async fn flood(self, times: usize, bytes: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
        let (mut read, mut write) = self.0.into_split();
        let reading = tokio::spawn(async move {
            let mut seen = Vec::new();
            _ = timeout(PATIENCE, read.read_to_end(&mut seen)).await;
            seen
        });
        for number in 0..times {
            if write.write_all(&bytes(u32::try_from(number).unwrap())).await.is_err() {
                break;
            }
        }
        _ = write.shutdown().await;
        error_of_goaway(&reading.await.unwrap())
    }
}

fn error_of_goaway(mut seen: &[u8]) -> Option<u32> {
    let mut error = None;
    while let Some((head, rest)) = seen.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            error = payload.get(4..8).map(|error| u32::from_be_bytes(error.try_into().unwrap()));
        }
        seen = rest;
    }
    error
}
