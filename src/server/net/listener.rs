//! Accepting connections, and handing each to the worker with the fewest.
//!
//! A connection is the unit of work on a core: callers hold few and long-lived ones. The kernel's
//! own spreading over SO_REUSEPORT goes by a hash, and can put most of them on one core.

mod addresses;
mod door;

use std::{
    fs::{self, Permissions},
    io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener, UnixSocket},
    sync::{OwnedSemaphorePermit, mpsc},
};

use self::addresses::FromAddress;
pub(crate) use self::door::{Door, MaxConnections};
use super::{seats::Seat, tally::OpenConnection, tls::TlsOffer};
use crate::config::{ListenAddress, UnixAddress, UnusableSetting};

/// Connections that the kernel lets wait until they are accepted: what tokio asks for elsewhere.
const BACKLOG: u32 = 1024;

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
pub(crate) struct UnixPath(UnixAddress);

impl Drop for UnixPath {
    fn drop(&mut self) {
        let path = &self.0.path;
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!(%error, path = %path.display(), "the socket had been removed already");
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
    _open: OpenConnection,
}

impl Drop for ConnectionPlaces {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
    }
}

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
            ListenAddress::Unix(socket) => {
                remove_dead_socket(&socket.path).await?;
                listen_on(socket)
            }
        }
    }

    fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(_, socket) => Ok(ListenAddress::Unix(socket.0.clone())),
        }
    }

    /// Accepts forever. Ends when it is dropped, or when every worker is gone.
    pub(crate) async fn accept_into(self, inboxes: Vec<Inbox>, door: Door) {
        loop {
            let stream = match self.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    door.fail(&error);
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                    continue;
                }
            };
            // A peer that has already gone has no address, and does not hold its place for long.
            let Some(admitted) = door.admit(stream.address()).await else { continue };
            let Some(inbox) =
                inboxes.iter().min_by_key(|inbox| inbox.connections.load(Ordering::Relaxed))
            else {
                return;
            };
            if inbox.sender.send(door.enter(stream, admitted, inbox)).await.is_err() {
                return;
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

/// Nobody can connect to a socket before it listens, so that nobody gets in whom its mode keeps out,
/// whatever it is in between.
fn listen_on(wanted: &UnixAddress) -> io::Result<Listener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(&wanted.path)?;
    // From here on it is removed again if anything fails.
    let path = UnixPath(wanted.clone());
    if let Some(mode) = wanted.mode {
        fs::set_permissions(&wanted.path, Permissions::from_mode(mode))?;
    }
    Ok(Listener::Unix(socket.listen(BACKLOG)?, path))
}

/// Removes the socket file that a killed server left behind. A socket that still answers is not
/// taken over, nor one of which that cannot be found out.
async fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_dead = async || {
        let answered = tokio::net::UnixStream::connect(path).await;
        answered.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && is_dead().await {
        fs::remove_file(path)?;
    }
    Ok(())
}
