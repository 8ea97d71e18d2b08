//! Accepting connections, and handing each to the worker with the fewest.
//!
//! A connection is the unit of work on a core: callers hold few and long-lived ones. The kernel's
//! own spreading over SO_REUSEPORT goes by a hash, and can put most of them on one core.

mod addresses;

use std::{
    io,
    net::IpAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use self::addresses::{AddressCounts, FromAddress};
use super::{
    seats::{Seat, Seats},
    tls::TlsOffer,
};
use crate::{
    config::{ListenAddress, UnusableSetting},
    observability::log_limiter::{LogLimiter, log_limited},
};

/// A pause after an error such as too many open files, instead of spinning.
pub(crate) const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// A bound listener, and what answers its connections.
pub(crate) struct Endpoint<A> {
    pub(crate) listener: Listener,
    /// The address that it listens on, with the actual port.
    pub(crate) address: ListenAddress,
    /// `None`: unencrypted.
    pub(crate) tls: Option<TlsOffer>,
    pub(crate) answers: A,
}

/// A bound socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, UnixPath),
}

/// Removes a Unix socket's file once nobody listens on it.
pub(crate) struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "the socket had been removed already");
        }
    }
}

/// A connection on its way to a worker. It holds its place among all connections, and among those
/// of its worker.
pub(crate) struct Accepted {
    pub(crate) stream: Socket,
    pub(crate) places: ConnectionPlaces,
    /// Its seat, if it may have to give way to another connection.
    pub(crate) seat: Option<Arc<Seat>>,
}

/// The places that a connection takes, released when it ends.
pub(crate) struct ConnectionPlaces {
    _connection: OwnedSemaphorePermit,
    worker: Arc<AtomicUsize>,
    _address: Option<FromAddress>,
}

impl Drop for ConnectionPlaces {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The maximum number of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxConnections {
    pub(crate) in_all: u32,
    /// From one address; `None`: no separate limit.
    pub(crate) per_address: Option<u32>,
    /// When the maximum is reached, a newer connection ends an unused one.
    pub(crate) makes_room: bool,
}

/// How long a connection that was asked to leave may take.
const UNTIL_LEFT: Duration = Duration::from_secs(1);

impl Socket {
    /// The address that the connection comes from, if it has one.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|peer| peer.ip()),
            Self::Unix(_) => None,
        }
    }
}

/// A stream that is not registered with a runtime yet.
pub(crate) enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// The channel to a worker's connections.
pub(crate) struct Inbox {
    pub(crate) sender: mpsc::Sender<Accepted>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Inbox {
    /// Counts a connection among those of its worker.
    fn place(
        &self,
        connection: OwnedSemaphorePermit,
        address: Option<FromAddress>,
    ) -> ConnectionPlaces {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let worker = Arc::clone(&self.connections);
        ConnectionPlaces { _connection: connection, worker, _address: address }
    }
}

impl Listener {
    /// Binds what a flag names, and returns the address that it listens on, with the actual port.
    pub(crate) async fn bind(
        setting: &'static str,
        wanted: &ListenAddress,
    ) -> Result<(ListenAddress, Self), UnusableSetting> {
        let bound =
            Self::bind_to(wanted).await.and_then(|listener| Ok((listener.address()?, listener)));
        bound.map_err(|error| {
            UnusableSetting::new(setting, format!("is {wanted}, which cannot be used: {error}"))
        })
    }

    async fn bind_to(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            ListenAddress::Unix(path) => {
                remove_dead_socket(path).await?;
                Ok(Self::Unix(UnixListener::bind(path)?, UnixPath(path.clone())))
            }
        }
    }

    fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(_, path) => Ok(ListenAddress::Unix(path.0.clone())),
        }
    }

    /// Accepts forever. Ends when it is dropped, or when every worker is gone.
    pub(crate) async fn accept_into(self, inboxes: Vec<Inbox>, most: MaxConnections) {
        let MaxConnections { in_all: max_connections, per_address, makes_room } = most;
        let room = Arc::new(Semaphore::new(max_connections as usize));
        let addresses = AddressCounts::default();
        let seats = makes_room.then(|| {
            Seats::new(max_connections as usize, per_address.unwrap_or(u32::MAX) as usize)
        });
        let (full, full_address) = (LogLimiter::new(), LogLimiter::new());
        loop {
            let Some(stream) = self.accept_or_pause().await else { continue };
            // A peer that has already gone has no address, and does not hold its place for long.
            let from = stream.address();
            let Ok(seat) = seats.as_ref().map(|seats| seats.take(from)).transpose() else {
                log_limited!(
                    full,
                    warn,
                    "a connection was closed: the maximum is reached, and all are in use"
                );
                continue;
            };
            let counted = if makes_room { Ok(None) } else { addresses.enter(from, per_address) };
            let Ok(address) = counted else {
                log_limited!(
                    full_address,
                    info,
                    per_address,
                    "a connection was closed: its address has reached its maximum"
                );
                continue;
            };
            let Some(connection) = free_place(&room, seat.is_some()).await else {
                log_limited!(
                    full,
                    warn,
                    max_connections,
                    "a connection was closed: {max_connections} are open"
                );
                continue;
            };
            let Some(inbox) =
                inboxes.iter().min_by_key(|inbox| inbox.connections.load(Ordering::Relaxed))
            else {
                return;
            };
            let places = inbox.place(connection, address);
            if inbox.sender.send(Accepted { stream, places, seat }).await.is_err() {
                return;
            }
        }
    }

    /// `None`: none could be accepted, and some time has passed.
    async fn accept_or_pause(&self) -> Option<Socket> {
        match self.accept().await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted: {error}");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                None
            }
        }
    }

    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                stream.into_std().map(Socket::Tcp)
            }
            Self::Unix(listener, _) => listener.accept().await?.0.into_std().map(Socket::Unix),
        }
    }
}

/// A place among all connections. It is waited for if another connection was asked to leave.
async fn free_place(room: &Arc<Semaphore>, is_leaving: bool) -> Option<OwnedSemaphorePermit> {
    let place = Arc::clone(room).try_acquire_owned().ok();
    if place.is_some() || !is_leaving {
        return place;
    }
    timeout(UNTIL_LEFT, Arc::clone(room).acquire_owned()).await.ok().and_then(Result::ok)
}

/// Removes the socket file that a killed server left behind. A socket that still answers is not
/// taken over.
async fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && tokio::net::UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
