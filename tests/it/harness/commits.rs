//! A way to the database on which connections are lost at the worst moment: when they commit.

use std::{
    future::pending,
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// What befalls a connection that commits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    Spared,
    /// It is cut, and the database never hears of the commit.
    CutBefore,
    /// It is cut while the commit is on its way.
    CutMeanwhile,
    /// It is cut when the commit is done, instead of the answer being passed on.
    CutWhenDone,
    /// From then on it is silent, without an end, and the database never hears of the commit.
    SilentBefore,
    /// The same when the commit is done.
    SilentWhenDone,
}

/// Says what befalls the next connection that commits.
type Decide = dyn FnMut() -> Fate + Send;

/// What ends an answer: no transaction is open any more.
const IS_READY: &[u8] = b"Z\0\0\0\x05I";
/// What a driver sends before anything else where it would like TLS, but for its length.
const WANTS_TLS: &[u8] = &80_877_103_u32.to_be_bytes();

/// Passes messages on between those who connect and a PostgreSQL. Everything ends when it is dropped.
pub struct Commits {
    port: u16,
    _acceptor: JoinSet<()>,
}

impl Commits {
    pub async fn to(target: u16, decide: impl FnMut() -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(decide));
        let mut acceptor = JoinSet::new();
        acceptor.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass_on(client, target, Arc::clone(&decide)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, _acceptor: acceptor }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// What has befallen one connection.
#[derive(Default)]
struct Fallen {
    is_cut_when_done: AtomicBool,
    is_silent: AtomicBool,
}

async fn pass_on(client: TcpStream, target: u16, decide: Arc<Mutex<Decide>>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let fallen = Fallen::default();
    // Where one way ends, both sides see the end of both.
    tokio::select! {
        ended = pass_messages(from_client, to_server, &decide, &fallen) => ended,
        ended = pass_answers(from_server, to_client, &fallen) => ended,
    }
}

async fn pass_messages(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    decide: &Mutex<Decide>,
    fallen: &Fallen,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut has_begun = false;
    loop {
        let message = read_message(&mut from, &mut has_begun).await?;
        let fate = if commits(&message) { decide.lock().unwrap()() } else { Fate::Spared };
        match fate {
            Fate::CutBefore => return Ok(()),
            Fate::SilentBefore => {
                fallen.is_silent.store(true, Ordering::SeqCst);
                return pending().await;
            }
            Fate::CutWhenDone => fallen.is_cut_when_done.store(true, Ordering::SeqCst),
            Fate::SilentWhenDone => fallen.is_silent.store(true, Ordering::SeqCst),
            Fate::Spared | Fate::CutMeanwhile => {}
        }
        to.write_all(&message).await?;
        if fate == Fate::CutMeanwhile {
            return Ok(());
        }
    }
}

/// Nothing is on its way back when a commit is sent: the driver has waited for it.
async fn pass_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fallen: &Fallen,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let read = &buffer[..length];
        if fallen.is_silent.load(Ordering::SeqCst) {
            return pending().await;
        }
        if fallen.is_cut_when_done.load(Ordering::SeqCst) {
            if length == 0 || read.ends_with(IS_READY) {
                return Ok(());
            }
            continue;
        }
        if length == 0 {
            return Ok(());
        }
        to.write_all(read).await?;
    }
}

/// The next message to PostgreSQL. The first ones have no letter before their length.
async fn read_message(
    from: &mut BufReader<OwnedReadHalf>,
    has_begun: &mut bool,
) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    if *has_begun {
        message.push(from.read_u8().await?);
    }
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let start = message.len();
    message.resize(start + length as usize - 4, 0);
    from.read_exact(&mut message[start..]).await?;
    *has_begun |= &message[start..] != WANTS_TLS;
    Ok(message)
}

/// The last of what is sent: `READ COMMITTED` is how transactions begin.
fn commits(message: &[u8]) -> bool {
    message.ends_with(b"COMMIT\0")
}
