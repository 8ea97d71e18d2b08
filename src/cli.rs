//! The program: what was asked for, doing it, and how it ended.

mod catalogue;
mod check;
mod migrate;
mod output;
mod routes;
mod serve;
mod shadow_report;
mod tenant;
mod token;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::{
    config::{Cli, Command, UnusableSetting},
    escape::shown_lines,
    observability::telemetry::{self, Telemetry, TelemetryError},
};

/// The program ended well, or the answer of `check` is yes.
const GOOD: u8 = 0;
/// The answer of `check` is no, or a change was refused.
const DENIED: u8 = 1;
/// The program could not do what it was asked to: a setting, a database, a port.
const TROUBLE: u8 = 2;

/// The program: parse, run, and say how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return trouble(&error),
    };
    let telemetry = match start_telemetry(&cli, &runtime) {
        Ok(telemetry) => telemetry,
        Err(error) => return trouble(&error),
    };
    let ended = run(cli.command, &runtime);
    telemetry.end();
    match ended {
        Ok(code) => code.into(),
        Err(error) => trouble(&error),
    }
}

fn start_telemetry(cli: &Cli, runtime: &Runtime) -> Result<Telemetry, UnusableSetting> {
    let collector = match &cli.command {
        Command::Serve(args) => args.trace.otlp_endpoint.as_ref(),
        _ => None,
    };
    let _within = runtime.enter();
    let log = &cli.log;
    telemetry::start(log.log_format, &log.log_level, collector.map(Url::as_str)).map_err(|error| match error {
        TelemetryError::Level(error) => UnusableSetting::new("--log-level", format!("is {:?}: {error}", log.log_level)),
        TelemetryError::Collector(error) => UnusableSetting::new("--otlp-endpoint", format!("cannot be used: {error}")),
    })
}

fn run(command: Command, runtime: &Runtime) -> Result<u8, Box<dyn std::error::Error>> {
    match command {
        Command::Serve(args) => runtime.block_on(serve::run(*args)),
        Command::Migrate(args) => runtime.block_on(migrate::run(args)),
        Command::Check(args) => runtime.block_on(check::run(args)),
        Command::Tenant(args) => runtime.block_on(tenant::run(args.command)),
        Command::Module(args) => runtime.block_on(catalogue::modules(args)),
        Command::Plan(args) => runtime.block_on(catalogue::plans(args)),
        Command::Routes(args) => runtime.block_on(routes::run(args)),
        Command::Token(args) => token::run(args),
    }
}

/// Loads, timers and signals run here. Requests are answered on threads of their own, see `worker`.
///
/// One thread: all of it is waiting, and a second one only wakes the first. A cold look-up took 1.6 to 1.8 times its
/// statement with two, and 1.3 to 1.4 with one (benches/README.md).
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("background").enable_all().build()
}

fn trouble(error: &dyn std::fmt::Display) -> ExitCode {
    let text = without_passwords(&error.to_string());
    // Set in, so that no line of it passes for one of ours.
    eprintln!("error: {}", shown_lines(&text).replace('\n', "\n  "));
    TROUBLE.into()
}

/// Prints what clap has to say: help on standard output, in colours where that is a terminal which wants them; an error on
/// standard error, without a URL's password.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Whoever closed the pipe has read enough.
        _ = error.print();
        return GOOD.into();
    }
    eprint!("{}", shown_lines(&without_passwords(&error.render().to_string())));
    TROUBLE.into()
}

/// Blanks what stands between `://` and `@` in each word that is a URL, and its parameters.
fn without_passwords(text: &str) -> String {
    let blank = |word: &str| {
        let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let quote = if parameters.contains('\'') { "'" } else { "" };
        let host = rest.rfind('@').map_or(rest.to_owned(), |at| format!("***{}", &rest[at..]));
        let space = &word[word.trim_end().len()..];
        let blanked = if parameters.is_empty() { "" } else { "?***" };
        format!("{scheme}://{}{blanked}{quote}{space}", host.trim_end())
    };
    text.split_inclusive(char::is_whitespace).map(blank).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_misplaced_url_is_printed_without_its_password() {
        let text = super::without_passwords("unexpected 'postgres://erp:s3c@ret@db/erp' found\n\nUsage: x");
        assert_eq!(text, "unexpected 'postgres://***@db/erp' found\n\nUsage: x");
        let text = super::without_passwords("'postgres://erp@db/erp?password=s3cret' found\nsee https://rustup.rs");
        assert_eq!(text, "'postgres://***@db/erp?***' found\nsee https://rustup.rs");
    }
}
