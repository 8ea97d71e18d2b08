//! The program itself, as its users start it.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, without the environment's own settings. BENCH_SERVER names another build of it, to
/// be compared.
pub fn program() -> Command {
    let path = std::env::var_os("BENCH_SERVER")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_entitlementd").into());
    program_at(path)
}

/// The same of another build of it.
pub fn program_at(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["ENTITLEMENTD_", "OTEL_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs `migrate`, which must go well.
pub fn migrate(url: &str) {
    let output = run(&["migrate", "--database-url", url]);
    assert!(output.status.success(), "migrate: {}", String::from_utf8_lossy(&output.stderr));
}

/// A client of a process, by its address.
pub async fn connect(address: &str) -> EntitlementServiceClient<Channel> {
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    EntitlementServiceClient::new(channel)
}

/// Waits until a process serves, by its address: degraded or not, which its log would tell apart.
pub async fn until_serving(address: &str) {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let request = HealthCheckRequest::default();
    let mut health = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    let serves = async {
        while health.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    };
    tokio::time::timeout(PATIENCE, serves).await.expect("it does not serve");
}

/// A server in a process of its own, killed when dropped.
pub struct Process {
    pub child: Child,
    /// Lines of the log. They are read at once, since a full pipe would stop the program.
    log: Receiver<String>,
    /// What it has logged so far.
    pub logged: String,
    /// Where it puts temporary files: one that is killed leaves them.
    _folder: tempfile::TempDir,
}

impl Process {
    /// What it holds in memory, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Starts `serve` with JSON logs.
    pub fn serve(flags: &[&str]) -> Self {
        Self::serve_in("json", flags)
    }

    /// The same with logs of this format.
    pub fn serve_in(format: &str, flags: &[&str]) -> Self {
        Self::start(program(), format, flags)
    }

    /// The same of this program, which has its environment already.
    pub fn start(command: Command, format: &str, flags: &[&str]) -> Self {
        Self::start_as("serve", command, format, flags)
    }

    /// Starts `edge` with JSON logs.
    pub fn edge(flags: &[&str]) -> Self {
        Self::start_edge(program(), flags)
    }

    /// The same of this program.
    pub fn start_edge(command: Command, flags: &[&str]) -> Self {
        Self::start_as("edge", command, "json", flags)
    }

    fn start_as(role: &str, mut command: Command, format: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.args([role, "--log-format", format]).args(flags).env("TMPDIR", folder.path());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { child, log, logged: String::new(), _folder: folder }
    }

    /// Reads the log up to a line that holds these words, and gives that line.
    pub fn wait_for(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(line) =
                self.log.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                panic!("{words:?} was never logged: {}", self.logged);
            };
            self.logged.push_str(&line);
            self.logged.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What it has logged so far.
    pub fn read_log(&mut self) -> &str {
        for line in self.log.try_iter() {
            self.logged.push_str(&line);
            self.logged.push('\n');
        }
        &self.logged
    }

    /// Where it listens.
    pub fn address(&mut self) -> String {
        self.address_of("listening on")
    }

    /// Where the listener is of which these words tell, or have told already.
    pub fn address_of(&mut self, words: &str) -> String {
        let told = self.logged.lines().find(|line| line.contains(words)).map(str::to_owned);
        let line = told.unwrap_or_else(|| self.wait_for(words));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["address"].as_str().unwrap().to_owned()
    }

    /// A client of it, once it serves.
    pub async fn client(&mut self) -> EntitlementServiceClient<Channel> {
        let address = self.address();
        until_serving(&address).await;
        connect(&address).await
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for the end; gives the exit code, the rest of the log being read.
    pub fn wait(&mut self, at_most: Duration) -> i32 {
        let deadline = Instant::now() + at_most;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                for line in &self.log {
                    self.logged.push_str(&line);
                    self.logged.push('\n');
                }
                return status.code().expect("ended by a signal");
            }
            // The end of another process can only be asked for.
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("still running after {at_most:?}: {}", self.logged);
    }
}

/// Limits the size of the files that a server may write, as `prlimit` reads it.
pub fn prlimit(server: &Process, limit: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &server.child.id().to_string(), &format!("--fsize={limit}")]);
    assert!(command.status().unwrap().success());
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
