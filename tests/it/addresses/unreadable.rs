//! Files that cannot be read for a while, or only once.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use entitlementd::proto::v1::DecisionReason;

use super::{Followed, database_on};
use crate::harness::{
    Database, Row,
    postgres::Cluster,
    process::{Process, connect},
    server::check_request,
    until_so,
};

/// Whoever opens a leased file waits for its holder, as for a mount that does not answer.
const LEASE: &str = "
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
while True:
    file = os.open(sys.argv[1], os.O_RDWR)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        break
    except BlockingIOError:
        os.close(file)  # The server is reading it.
print('held', flush=True)
sys.stdin.readline()
";

/// A file that cannot be opened by anybody else.
struct Hung(Child);

impl Hung {
    fn hold(path: &Path) -> Self {
        let mut holder = Command::new("python3")
            .args(["-c", LEASE])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        Self(holder)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_hangs_stops_neither_changes_nor_the_end_and_the_log_says_so() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 10).await;
    let url = Followed::with(&database.url);
    let mut server =
        Process::serve(&["--listen", "127.0.0.1:0", "--database-url-file", &url.name()]);
    let address = server.address();
    server.wait_for("listening to changes");
    let hung = Hung::hold(&url.path());
    let line = server.wait_for("reading has not ended within 3 s");
    assert!(line.contains("ERROR") && line.contains("--database-url-file names"), "{line}");
    assert!(line.contains("the previous contents stay in effect"), "{line}");
    let client = tokio::sync::Mutex::new(connect(&address).await);
    let is_suspended = async || {
        let answer = client.lock().await.check_module(check_request(1, "finance")).await;
        answer.unwrap().into_inner().reason() == DecisionReason::TenantSuspended
    };
    // From now on it is held in memory, which only a change that is noticed replaces.
    assert!(!is_suspended().await);
    database.execute("UPDATE tenants SET status = 'suspended'").await;
    until_so("the change is noticed", is_suspended).await;
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(10)), 0);
    drop(hung);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_read_once_and_not_followed_and_one_that_replaces_a_file_changes_nothing() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let flags = ["--listen", "127.0.0.1:0", "--database-url-file", pipe.to_str().unwrap()];
    let mut server = Process::serve(&flags);
    fs::OpenOptions::new()
        .write(true)
        .open(&pipe)
        .unwrap()
        .write_all(database.url.as_bytes())
        .unwrap();
    server.wait_for("no regular file: it was read once, and is not followed");
    server.wait_for("\"ready\"");
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(10)), 0);

    let url = Followed::with(&database.url);
    let mut server =
        Process::serve(&["--listen", "127.0.0.1:0", "--database-url-file", &url.name()]);
    server.wait_for("\"ready\"");
    fs::rename(&pipe, url.path()).unwrap();
    let line = server.wait_for("which is no regular file; the previous contents stay in effect");
    assert!(line.contains("--database-url-file names"), "{line}");
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(10)), 0);
}
