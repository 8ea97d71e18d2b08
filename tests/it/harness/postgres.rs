//! A PostgreSQL cluster of our own, one for the whole test binary. It ends with the binary, however
//! that ends.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, Decode, PgConnection, Postgres, Type};
use tokio::sync::OnceCell;

use super::keeper::{Keeper, PATIENCE, command, new_folder, program, until_so};

/// A running cluster.
pub struct Cluster {
    pub(super) keeper: Keeper,
    port: u16,
}

/// The cluster that tests share.
pub fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&[]))
}

impl Cluster {
    pub fn start(settings: &[&str]) -> Self {
        let folder = new_folder();
        let data = folder.join("data");
        let mut initdb = command(&program("initdb"), &folder);
        initdb
            .args(["-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8", "-D"])
            .arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        Self::run_in(folder, settings)
    }

    /// Starts a cluster on the data that lie in this folder.
    pub(super) fn run_in(folder: PathBuf, settings: &[&str]) -> Self {
        let port = free_port();
        let keeper = keep_running(folder, port, settings);
        let cluster = Self { keeper, port };
        cluster.wait_until_up(0);
        cluster
    }

    /// Ends the cluster for good, as fast as it goes while connections are open.
    pub fn stop(self) {
        self.keeper.end();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The server's log: every statement, after its database's name.
    pub fn log(&self) -> String {
        self.keeper.log()
    }

    /// Runs one of PostgreSQL's programs against the cluster and gives its output.
    pub fn run(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = command(&program(name), &self.keeper.folder);
        command
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()])
            .args(arguments);
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
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        name
    }

    /// Runs SQL in the database `postgres`.
    pub async fn execute(&self, sql: &str) {
        let run = async {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await
        };
        within_patience(sql, run).await;
    }

    /// The one value that a question has for an answer in the database `postgres`.
    pub async fn ask<T: Type<Postgres> + for<'r> Decode<'r, Postgres> + Send + Unpin>(
        &self,
        sql: &str,
    ) -> T {
        let ask = async {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await
        };
        within_patience(sql, ask).await
    }

    /// From now on this role needs its password.
    pub async fn require_password(&self, role: &str) {
        let path = self.keeper.folder.join("data/pg_hba.conf");
        let rules = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("host all {role} all scram-sha-256\n{rules}")).unwrap();
        self.execute("SELECT pg_reload_conf()").await;
        let without = self.url("postgres").replace("postgres@", &format!("{role}@"));
        until_so("a password is asked for", async || {
            PgConnection::connect(&without).await.is_err()
        })
        .await;
    }

    /// Waits until connections are accepted, on a standby read-only ones, as the log says after so
    /// many bytes.
    pub(super) fn wait_until_up(&self, logged: usize) {
        self.keeper.wait_for("database system is ready to accept", logged);
    }

    /// How many statements a database has been sent, but for signs of life.
    pub async fn statements(&self, database: &str) -> usize {
        self.lines_of_statements(database).await.len()
    }

    /// The lines of the log about them.
    pub async fn lines_of_statements(&self, database: &str) -> Vec<String> {
        // What a statement does is logged before it is done; asking for something makes sure of the
        // order.
        assert_eq!(self.ask::<i32>("SELECT 1").await, 1);
        let begins = format!("{database} ");
        let statement = |line: &&str| {
            line.starts_with(&begins)
                && (line.contains("LOG:  execute") || line.contains("LOG:  statement"))
                && !line.ends_with(": SELECT 1")
                && !line.ends_with(" AS clock")
        };
        self.log().lines().filter(statement).map(str::to_owned).collect()
    }
}

async fn within_patience<T>(sql: &str, run: impl Future<Output = sqlx::Result<T>>) -> T {
    let done =
        tokio::time::timeout(PATIENCE, run).await.unwrap_or_else(|_| panic!("{sql}: no answer"));
    done.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Runs the server. What it has committed outlives its processes, and all that it holds lies in its
/// folder.
fn keep_running(folder: PathBuf, port: u16, settings: &[&str]) -> Keeper {
    let port = port.to_string();
    let folder_name = folder.to_str().unwrap().to_owned();
    let mut arguments = vec!["-D", "data", "-h", "127.0.0.1,::1", "-p", &port, "-k", &folder_name];
    let quick = [
        "fsync=off",
        "full_page_writes=off",
        "max_connections=300",
        "dynamic_shared_memory_type=mmap",
    ];
    // A standby that hangs holds up its primary's end for this long.
    let bounded = ["wal_sender_timeout=5s"];
    let told = ["log_statement=all", "log_line_prefix=%d "];
    for setting in quick.iter().chain(&bounded).chain(&told).chain(settings) {
        arguments.extend(["-c", setting]);
    }
    Keeper::start(folder.clone(), "INT", "postgres", arguments)
}

/// A port that nobody listens on now. The system hands out higher ones to those who ask for any, so
/// that nobody takes this one while its owner is down.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(211);
    loop {
        let spread = start.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 10_000 + u16::try_from(spread).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
