//! A network between a client and a server, for tests that break it.

// Benchmarks take this file from another place.
#[path = "trouble.rs"]
mod trouble;

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::trouble::Trouble;

/// Pieces that are on their way at once, where the way is long. Where it is not, who sends is held
/// up as by a socket.
const ON_THE_WAY: usize = 1024;

/// Bytes, an end or an error, and when they arrive.
type Arrival = (Instant, io::Result<Vec<u8>>);

/// Passes bytes on between those who connect and a port. Everything ends when it is dropped.
pub struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    /// Of the connections to come.
    open: Arc<Mutex<watch::Sender<bool>>>,
    /// Of those that were given up.
    stranded: Mutex<Vec<watch::Sender<bool>>>,
    connections: Arc<Mutex<JoinSet<io::Result<()>>>>,
    round_trips: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    trouble: Arc<Trouble>,
    _acceptor: JoinSet<()>,
}

impl Proxy {
    pub async fn to(target_port: u16) -> Self {
        Self::slow_to(target_port, Duration::ZERO).await
    }

    /// What comes back from there takes so much longer.
    pub async fn slow_to(target_port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(target_port));
        let open = Arc::new(Mutex::new(watch::Sender::new(true)));
        let connections = Arc::default();
        let mut acceptor = JoinSet::new();
        let (round_trips, bytes) = (Arc::default(), Arc::default());
        let trouble = Arc::default();
        let way = Way {
            target: Arc::clone(&target),
            delay,
            round_trips: Arc::clone(&round_trips),
            bytes: Arc::clone(&bytes),
            trouble: Arc::clone(&trouble),
        };
        acceptor.spawn(accept(listener, way, Arc::clone(&open), Arc::clone(&connections)));
        let stranded = Mutex::default();
        Self {
            port,
            target,
            open,
            stranded,
            connections,
            round_trips,
            bytes,
            trouble,
            _acceptor: acceptor,
        }
    }

    /// How often a client has waited for an answer so far, on all connections together. That a
    /// connection is accepted is not counted.
    pub fn round_trips(&self) -> usize {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// How many bytes have been passed on so far, in both directions.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections go to this port; present ones stay.
    pub fn point_at(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// What is wrong with it, though it passes bytes on.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Closes all present connections, on both sides, before it returns.
    pub async fn cut(&self) {
        let mut present = std::mem::take(&mut *self.connections.lock().unwrap());
        present.shutdown().await;
    }

    /// From now on no byte is passed on, in either direction, and nothing is closed: neither side
    /// learns of anything. New connections are accepted.
    pub fn black_hole(&self) {
        self.open.lock().unwrap().send_replace(false);
    }

    /// Everything goes on after [`Self::black_hole`], with the bytes that were held.
    pub fn let_through(&self) {
        self.open.lock().unwrap().send_replace(true);
    }

    /// The same as [`Self::black_hole`], and for present connections it is for ever.
    pub fn strand(&self) {
        self.black_hole();
        let present = std::mem::replace(&mut *self.open.lock().unwrap(), watch::Sender::new(false));
        self.stranded.lock().unwrap().push(present);
    }
}

/// Where connections lead, and how far that is.
#[derive(Clone)]
struct Way {
    target: Arc<AtomicU16>,
    delay: Duration,
    round_trips: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    trouble: Arc<Trouble>,
}

async fn accept(
    listener: TcpListener,
    way: Way,
    open: Arc<Mutex<watch::Sender<bool>>>,
    connections: Arc<Mutex<JoinSet<io::Result<()>>>>,
) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mut connections = connections.lock().unwrap();
        let open = open.lock().unwrap().subscribe();
        connections.spawn(serve(client, way.clone(), open));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, until both sides have ended it, or one has broken it.
async fn serve(client: TcpStream, way: Way, mut open: watch::Receiver<bool>) -> io::Result<()> {
    until_open(&mut open).await?;
    let Way { target, delay, round_trips, bytes, trouble } = way;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target.load(Ordering::Relaxed))).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let waits = AtomicBool::new(false);
    let asks = || {
        let begins = !waits.swap(true, Ordering::Relaxed);
        round_trips.fetch_add(usize::from(begins), Ordering::Relaxed);
    };
    let answers = || waits.store(false, Ordering::Relaxed);
    let there = Direction { delay: Duration::ZERO, note: &asks, bytes: &bytes, trouble: &trouble };
    let back = Direction { delay, note: &answers, bytes: &bytes, trouble: &trouble };
    let to_there = there.pass_on(from_client, to_server, open.clone());
    tokio::try_join!(to_there, back.pass_on(from_server, to_client, open))?;
    Ok(())
}

/// One direction of a connection.
struct Direction<'a> {
    delay: Duration,
    note: &'a (dyn Fn() + Sync),
    bytes: &'a AtomicUsize,
    trouble: &'a Trouble,
}

impl Direction<'_> {
    /// An end or an error is held back like bytes are.
    async fn pass_on(
        &self,
        from: OwnedReadHalf,
        to: OwnedWriteHalf,
        open: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let (sender, arrivals) = mpsc::channel(if self.delay.is_zero() { 1 } else { ON_THE_WAY });
        tokio::try_join!(self.send(from, sender), self.receive(arrivals, to, open))?;
        Ok(())
    }

    /// What is sent is on its way beside what was sent before: a long way makes nothing narrower.
    async fn send(
        &self,
        mut from: OwnedReadHalf,
        arrivals: mpsc::Sender<Arrival>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await.map(|length| buffer[..length].to_vec());
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            if !is_last {
                (self.note)();
            }
            if arrivals.send((Instant::now() + self.delay, read)).await.is_err() || is_last {
                return Ok(());
            }
        }
    }

    async fn receive(
        &self,
        mut arrivals: mpsc::Receiver<Arrival>,
        to: OwnedWriteHalf,
        mut open: watch::Receiver<bool>,
    ) -> io::Result<()> {
        while let Some((at, read)) = arrivals.recv().await {
            // A timer's grain of a millisecond is too much where there is nothing to wait for.
            if at > Instant::now() {
                sleep_until(at).await;
            }
            until_open(&mut open).await?;
            for piece in self.trouble.pieces(&read?) {
                self.trouble.befall(piece.len()).await?;
                write(&to, piece, &mut open).await?;
                self.bytes.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
        Ok(()) // Dropping `to` tells the other side.
    }
}

async fn write(
    to: &OwnedWriteHalf,
    mut bytes: &[u8],
    open: &mut watch::Receiver<bool>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        let written = {
            // Held while bytes are handed over: when `black_hole` returns, none are on their way.
            let _open = until_open(open).await?;
            to.try_write(bytes)
        };
        match written {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn until_open(open: &mut watch::Receiver<bool>) -> io::Result<watch::Ref<'_, bool>> {
    open.wait_for(|open| *open).await.map_err(io::Error::other)
}
