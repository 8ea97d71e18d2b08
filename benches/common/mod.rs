//! What the benchmarks share: a database of many tenants, processes on a core of their own, and
//! quartiles.

#[path = "../../tests/it/harness/keeper.rs"]
pub mod keeper;
#[path = "../../tests/it/harness/postgres.rs"]
pub mod postgres;
#[path = "../../tests/it/harness/process.rs"]
pub mod process;
pub mod statements;

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient;
use sqlx::{Connection, PgConnection, SqliteConnection, types::Uuid};
use tonic::transport::Channel;

/// Modules that each tenant has.
pub const MODULES: [&str; 10] = [
    "oms_fulfillment",
    "procurement",
    "finance",
    "crm_service",
    "sales_distribution",
    "hrms",
    "d2c_storefront",
    "scm_ai",
    "marketing",
    "system_admin",
];

/// Lines of a log that somebody may wait for. More are counted only.
const WAITED_FOR: u64 = 1_000;
/// Warnings that are kept.
const SHOWN: usize = 3;

/// A tenant's id, by number.
pub fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Fills a migrated SQLite database with tenants that have ten subscriptions each.
pub async fn fill(url: &str, tenants: u32) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let sql = format!(
        "BEGIN;
         CREATE TEMP TABLE numbers AS
            WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {tenants}) SELECT i FROM n;
         INSERT INTO tenants (id, name, subdomain, database_schema, plan_id)
            SELECT unhex('00000000000040008000' || printf('%012x', i)), 'Tenant number ' || i, 'tenant-' || i,
                   'tenant_tenant-' || i, (SELECT id FROM plans WHERE slug = 'enterprise')
            FROM numbers;
         INSERT INTO tenant_subscriptions (id, tenant_id, module_id, starts_at)
            SELECT randomblob(16), t.id, m.id, '2026-01-01T00:00:00+00:00' FROM tenants t CROSS JOIN modules m;
         COMMIT;"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

/// The id of a tenant's subscription to the module of this place in [`MODULES`], on PostgreSQL.
pub fn subscription(tenant: u32, module: u32) -> String {
    format!("00000000-0000-4000-9000-{:012x}", tenant * MODULES.len() as u32 + module)
}

/// Fills a migrated PostgreSQL database with tenants that have ten subscriptions each.
pub async fn fill_postgres(url: &str, tenants: u32) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let codes = MODULES.map(|code| format!("'{code}'")).join(", ");
    let sql = format!(
        "INSERT INTO tenants (id, name, subdomain, database_schema)
            SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'Tenant ' || i, 'tenant-' || i,
                   'tenant_' || i
            FROM generate_series(0, {tenants} - 1) i;
         INSERT INTO tenant_subscriptions (id, tenant_id, module_id, starts_at)
            SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(i * 10 + c.place - 1), 12, '0'))::uuid,
                   ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, m.id, now()
            FROM generate_series(0, {tenants} - 1) i
                 CROSS JOIN unnest(ARRAY[{codes}]) WITH ORDINALITY c (code, place)
                 JOIN modules m ON m.code = c.code;"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    // Not in a transaction.
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.unwrap();
}

/// Commits a change of a subscription's status, and says whether it is active now.
pub async fn flip(writer: &mut PgConnection, tenant: u32, module: usize) -> bool {
    let sql = "UPDATE tenant_subscriptions SET status = CASE status WHEN 'active' THEN 'suspended' ELSE 'active' END
               WHERE id = $1 RETURNING status = 'active'";
    let id: Uuid = subscription(tenant, module as u32).parse().unwrap();
    sqlx::query_scalar(sql).bind(id).fetch_one(writer).await.unwrap()
}

/// A client of a server, on a connection of its own.
pub async fn connect(address: &str) -> EntitlementServiceClient<Channel> {
    let uri = format!("http://{address}");
    EntitlementServiceClient::new(Channel::from_shared(uri).unwrap().connect().await.unwrap())
}

/// A command that runs on one core.
pub fn on_core(core: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// The program on one core, without the environment's own settings.
pub fn program_on_core(core: &str) -> Command {
    let program = process::program();
    let mut command = on_core(core, program.get_program());
    program.get_envs().for_each(|(name, _)| _ = command.env_remove(name));
    command
}

/// Runs this benchmark again on one core, as `role`: in a process of its own it is there from the
/// first thread on.
pub fn run_as(role: &str, core: &str) {
    let status = on_core(core, env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env("BENCH_ROLE", role)
        .status();
    assert!(status.expect("taskset, of util-linux").success());
}

/// A process, ended when dropped.
pub struct Process {
    pub child: Child,
    /// Read at once, since a full pipe would stop it.
    lines: Receiver<String>,
    pub log: Arc<Log>,
}

/// What a process has logged.
#[derive(Default)]
pub struct Log {
    pub lines: AtomicU64,
    pub warnings: AtomicU64,
    /// The first warnings.
    pub shown: Mutex<Vec<String>>,
}

impl Log {
    fn take(&self, line: &str) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        if line.contains("WARN") || line.contains("ERROR") {
            self.warnings.fetch_add(1, Ordering::Relaxed);
            let mut shown = self.shown.lock().unwrap();
            if shown.len() < SHOWN {
                shown.push(line.to_owned());
            }
        }
    }
}

impl Process {
    /// Starts a command whose log is read.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("taskset, of util-linux");
        let (sender, lines) = channel();
        let log = Arc::new(Log::default());
        let (taken, stderr) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()));
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                taken.take(&line);
                if taken.lines.load(Ordering::Relaxed) <= WAITED_FOR {
                    _ = sender.send(line);
                }
            }
        });
        Self { child, lines, log }
    }

    /// Reads the log up to a line that holds these words.
    pub fn wait_for(&mut self, words: &str) -> String {
        let line = self.lines.iter().find(|line| line.contains(words));
        line.unwrap_or_else(|| panic!("the process ended before it said {words:?}"))
    }

    /// The port that it says it listens on.
    pub fn port(&mut self) -> u16 {
        self.port_in("listening on")
    }

    /// The port that stands in a line that holds these words.
    pub fn port_in(&mut self, words: &str) -> u16 {
        let line = self.wait_for(words);
        let (_, rest) = line.split_once("127.0.0.1:").unwrap();
        let digits = rest.split(|character: char| !character.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }

    /// Bytes of memory that it has.
    pub fn resident_bytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }

    /// Nanoseconds of CPU that its threads have taken.
    pub fn cpu_nanos(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |task: std::io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.filter_map(of).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The lower quartile, the median and the upper quartile.
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}

/// Bytes that were allocated and are still held. Reallocations are counted in both.
pub fn bytes_held(stats: stats_alloc::Stats) -> f64 {
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

/// What the figures were made on.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("unknown");
    let cores = thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{model}, {cores} cores seen")
}
