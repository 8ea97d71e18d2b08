//! HTTP/1.1 by hand: what a probe, Prometheus, or somebody hostile sends.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer takes, and than any client is given.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends these bytes, and reads until the server closes the connection.
pub async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has had enough closes before everything is sent.
    _ = stream.write_all(request.as_ref()).await;
    let answer = read_to_end(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status =
        head.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap();
    Reply { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Reads until the server closes the connection, which it must.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // An error is an end too: what was sent in vain makes a reset of it.
    _ = read.expect("the server closes the connection");
    String::from_utf8(bytes).unwrap()
}

pub async fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: probe\r\n\r\n")).await
}

/// The metrics page.
pub struct Metrics {
    pub page: String,
    /// By series, with their prefix and labels.
    pub samples: BTreeMap<String, f64>,
}

impl Metrics {
    pub async fn read(address: SocketAddr) -> Self {
        let Reply { status, body: page, .. } = get(address, "/metrics").await;
        assert_eq!(status, 200, "{page}");
        let samples = page.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Self { samples: samples.collect(), page }
    }

    /// What a series shows, without the prefix that all share.
    pub fn of(&self, series: &str) -> f64 {
        *self
            .samples
            .get(&format!("entitlementd_{series}"))
            .unwrap_or_else(|| panic!("no {series} in {}", self.page))
    }
}
