//! Programs that are not ours: found, run by a user whom they accept, and ended with the test
//! binary, however that ends.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a program, and again for each line that comes in, once it has ended. No more can come in
/// when the test binary is gone: then it ends the program and removes the folder. The program and
/// its children may have been stopped, which is why the system then sends HUP, as it does to any
/// group of processes that nobody can let go on any more.
const SCRIPT: &str = r#"
    trap '' HUP
    signal=$1
    shift
    "$@" >>log 2>&1 &
    running=$!
    while read -r _; do
        wait $running
        "$@" >>log 2>&1 &
        running=$!
    done
    kill -$signal $running
    read -r children </proc/$running/task/$running/children
    kill -CONT $running $children
    wait $running
    rm -rf "$PWD"
"#;

/// Keeps a program running in a folder of its own, where `log` holds what it says.
pub struct Keeper {
    pub folder: PathBuf,
    /// The shell whose standard input is the pipe that keeps the program alive.
    shell: Child,
}

impl Keeper {
    /// Runs a program that must not be root's, which this signal will end.
    pub fn start<I: IntoIterator<Item: AsRef<OsStr>>>(
        folder: PathBuf,
        signal: &str,
        name: &str,
        arguments: I,
    ) -> Self {
        let shell = command(Path::new("/bin/sh"), &folder);
        Self::run(shell, folder, signal, name, arguments)
    }

    /// Runs a program as whoever runs the tests, which this signal will end.
    pub fn start_as_us<I: IntoIterator<Item: AsRef<OsStr>>>(
        folder: PathBuf,
        signal: &str,
        name: &str,
        arguments: I,
    ) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.current_dir(&folder);
        Self::run(shell, folder, signal, name, arguments)
    }

    fn run<I: IntoIterator<Item: AsRef<OsStr>>>(
        mut shell: Command,
        folder: PathBuf,
        signal: &str,
        name: &str,
        arguments: I,
    ) -> Self {
        shell.args(["-c", SCRIPT, "keeper", signal]).arg(program(name)).args(arguments);
        // A terminal's Ctrl-C must end the tests only, or nobody would be left to clean up.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = shell.spawn().unwrap();
        Self { folder, shell }
    }

    /// Starts the program again, which has ended or is about to.
    pub fn start_again(&mut self) {
        self.shell.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Ends the program for good.
    pub fn end(mut self) {
        drop(self.shell.stdin.take());
        until("the keeper ends", || self.shell.try_wait().unwrap().is_some());
    }

    pub fn log(&self) -> String {
        self.log_after(0)
    }

    /// What was logged after so many bytes.
    fn log_after(&self, start: usize) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes[start.min(bytes.len())..]).into_owned()
    }

    /// How many bytes have been logged.
    pub fn log_length(&self) -> usize {
        fs::read(self.folder.join("log")).unwrap_or_default().len()
    }

    /// Waits until these words stand in the log after so many bytes.
    pub fn wait_for(&self, words: &str, start: usize) {
        until(&format!("{words:?} is logged in {}", self.folder.display()), || {
            self.log_after(start).contains(words)
        });
    }
}

/// Waits until something holds that other processes do: it can only be looked at again.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{PATIENCE:?} were not enough until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same where finding out takes an await.
pub async fn until_so(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{PATIENCE:?} were not enough until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A new folder of the user who runs such programs. Its path is short: sockets are made in it.
pub fn new_folder() -> PathBuf {
    let folder =
        tempfile::Builder::new().prefix("entitlementd-pg").tempdir_in("/tmp").unwrap().keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((user, group)) = unprivileged() {
        chown(&folder, Some(user), Some(group)).unwrap();
    }
    folder
}

/// Where a program is.
pub fn program(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = env::var_os("PG_BIN").map(PathBuf::from).into_iter().collect();
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    folders.push("/usr/sbin".into());
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(installed.map(|version| version.path().join("bin")));
    let found =
        folders.into_iter().map(|folder| folder.join(name)).find(|program| program.exists());
    found.unwrap_or_else(|| {
        panic!("no {name}: tests/run says where it comes from; PG_BIN is the folder of PostgreSQL's programs")
    })
}

/// PostgreSQL and PgBouncer refuse to run as root: who runs them then.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let account = |name: &str| {
        let fields: Vec<&str> = accounts
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?
            .split(':')
            .collect();
        Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
    };
    account("postgres").or_else(|| account("nobody"))
}

/// A program that runs in such a folder, as its owner.
pub fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}
