//! A PgBouncer in transaction mode, as it often stands in front of a PostgreSQL.

use std::{fs, process::Command};

use super::{
    keeper::{Keeper, new_folder, program},
    postgres::free_port,
};

/// It passes each transaction to whichever connection of its own is free, and refuses startup
/// parameters that it does not know, among them `options` and `extra_float_digits`.
pub struct Pooler {
    port: u16,
    _keeper: Keeper,
}

impl Pooler {
    /// Starts one in front of whatever listens on a port. Its settings are lines of its
    /// configuration.
    pub fn to(target_port: u16, settings: &[&str]) -> Self {
        let folder = new_folder();
        let port = free_port();
        fs::write(folder.join("users"), "\"postgres\" \"\"\n").unwrap();
        fs::write(folder.join("ini"), configuration(port, target_port, settings)).unwrap();
        // It has nothing to lose, and what its other signals do depends on its version.
        let keeper = Keeper::start(folder, "KILL", "pgbouncer", ["ini"]);
        keeper.wait_for("process up", 0);
        Self { port, _keeper: keeper }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Where a setting is given twice, the last one holds.
fn configuration(port: u16, target_port: u16, settings: &[&str]) -> String {
    let prepared = if tracks_prepared_statements() { "max_prepared_statements = 0" } else { "" };
    format!(
        "[databases]
         * = host=127.0.0.1 port={target_port}
         [pgbouncer]
         listen_addr = 127.0.0.1
         listen_port = {port}
         unix_socket_dir =
         auth_type = trust
         auth_file = users
         pool_mode = transaction
         ignore_startup_parameters =
         {prepared}
         {}
        ",
        settings.join("\n")
    )
    .lines()
    .map(|line| format!("{}\n", line.trim()))
    .collect()
}

/// Version 1.21 began to, and older ones refuse the setting.
fn tracks_prepared_statements() -> bool {
    let output = Command::new(program("pgbouncer")).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let minor = text.split(['.', '\n']).nth(1).and_then(|minor| minor.parse::<u32>().ok());
    minor.unwrap_or_else(|| panic!("which version is this? {text}")) >= 21
}
