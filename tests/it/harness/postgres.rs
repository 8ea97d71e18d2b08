//! A PostgreSQL cluster of our own, one for the whole test binary. It ends with the binary, however that ends.

use std::{
    env, fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, PgConnection, Row};
use tokio::sync::OnceCell;

/// A running cluster.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    /// Holds the pipe that keeps the cluster alive.
    keeper: Child,
}

/// The cluster that tests share.
pub fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&[]))
}

/// Where one of PostgreSQL's programs is.
fn program(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = env::var_os("PG_BIN").map(PathBuf::from).into_iter().collect();
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(installed.map(|version| version.path().join("bin")));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|program| program.exists());
    found.unwrap_or_else(|| panic!("no {name}: install the package postgresql, or set PG_BIN to its programs' folder"))
}

/// PostgreSQL refuses to run as root: who runs it then.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let account = |name: &str| {
        let fields: Vec<&str> =
            accounts.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
    };
    account("postgres").or_else(|| account("nobody"))
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

impl Cluster {
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("entitlementd-pg").tempdir_in("/tmp").unwrap().keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((user, group)) = unprivileged() {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let data = folder.join("data");
        let mut initdb = command(&program("initdb"), &folder);
        initdb.args(["-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8", "-D"]).arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let port = free_port();
        let keeper = keep_running(&folder, port, settings);
        let cluster = Self { folder, port, keeper };
        cluster.wait_until_up();
        cluster
    }

    /// Ends the cluster for good, as fast as it goes while connections are open.
    pub fn stop(mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The server's log: every statement, after its database's name.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Runs one of PostgreSQL's programs against the cluster and gives its output.
    pub fn run(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = command(&program(name), &self.folder);
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new, empty database.
    pub async fn empty_database(&self) -> String {
        self.create_database("template0").await
    }

    /// A new database with our schema in it.
    pub async fn migrated_database(&self) -> String {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(|| async {
            let name = self.empty_database().await;
            super::process::migrate(&self.url(&name));
            name
        });
        self.create_database(template.await).await
    }

    async fn create_database(&self, template: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        name
    }

    fn wait_until_up(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !self.log().contains("database system is ready to accept connections") {
            assert!(std::time::Instant::now() < deadline, "PostgreSQL does not come up: {}", self.log());
            // Another process writes the log: it can only be looked at again.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How many statements a database has been sent.
    pub async fn statements(&self, database: &str) -> usize {
        // What a statement does is logged before it is done; asking for something makes sure of the order.
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        assert_eq!(sqlx::query("SELECT 1").fetch_one(&mut connection).await.unwrap().get::<i32, _>(0), 1);
        let begins = format!("{database} ");
        let statement = |line: &&str| {
            line.starts_with(&begins) && (line.contains("LOG:  execute") || line.contains("LOG:  statement"))
        };
        self.log().lines().filter(statement).count()
    }
}

/// Runs the server for as long as this process holds the other end of a pipe.
fn keep_running(folder: &Path, port: u16, settings: &[&str]) -> Child {
    let script = r#"
        "$@" >log 2>&1 &
        server=$!
        cat >/dev/null
        kill -INT $server
        wait $server
        rm -rf "$PWD"
    "#;
    let mut keeper = command(Path::new("/bin/sh"), folder);
    keeper.args(["-c", script, "keeper"]).arg(program("postgres"));
    keeper.args(["-D", "data", "-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(folder);
    let quick = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"];
    let told = ["log_statement=all", "log_line_prefix=%d "];
    for setting in quick.iter().chain(&told).chain(settings) {
        keeper.args(["-c", setting]);
    }
    keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
