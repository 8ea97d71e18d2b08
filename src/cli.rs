//! The program: parsing its arguments, running, and the exit code.

mod catalogue;
mod check;
mod feature;
mod lease_key;
mod limit;
mod manual;
mod migrate;
mod output;
mod routes;
mod serve;
mod shadow_report;
mod tenant;
mod token;
mod usage;

use std::{error::Error, io, process::ExitCode, time::Duration};

use clap::error::ErrorKind;
use tokio::runtime::{Builder, Runtime};

use crate::{
    config::{Cli, Command, TraceArgs, TraceNotes, UnusableSetting, without_passwords},
    escape::escape_control_lines,
    observability::telemetry::{self, Telemetry, TelemetryError},
};

/// The program succeeded, or the answer of `check` is yes.
const GOOD: u8 = 0;
/// The answer of `check` is no, or a change was refused.
const DENIED: u8 = 1;
/// The program could not do what it was asked to do: a setting, a database, a port.
const TROUBLE: u8 = 2;
/// What still runs when everything is done is left behind after this long.
const LEAVES_BEHIND: Duration = Duration::from_secs(1);
/// Nobody reads the output: the exit code that shells report for a program that SIGPIPE has ended.
const BROKEN_PIPE: u8 = 141;

/// The program: parse, run, and say how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::read() {
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
    // A file that hangs while it is read must not keep the process.
    runtime.shutdown_timeout(LEAVES_BEHIND);
    match ended {
        Ok(code) => code.into(),
        Err(error) if is_broken_pipe(&*error) => BROKEN_PIPE.into(),
        Err(error) => trouble(&error),
    }
}

/// The reader of the output, for example `head`, has gone: that is not an error to report.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn start_telemetry(cli: &Cli, runtime: &Runtime) -> Result<Telemetry, UnusableSetting> {
    let traces = match &cli.command {
        Command::Serve(args) => Some(&args.instance.trace),
        Command::Edge(args) => Some(&args.instance.trace),
        _ => None,
    };
    let _within = runtime.enter();
    let log = &cli.log;
    let collector = traces.and_then(TraceArgs::collector);
    let telemetry =
        telemetry::start(log.log_format, &log.log_level, collector.as_ref()).map_err(|error| {
            match error {
                TelemetryError::Level(error) => {
                    UnusableSetting::new("--log-level", format!("is {:?}: {error}", log.log_level))
                }
                TelemetryError::Collector(error) => {
                    UnusableSetting::new("--otlp-endpoint", format!("cannot be used: {error}"))
                }
            }
        })?;
    if let Some(traces) = traces {
        note(traces.notes());
    }
    Ok(telemetry)
}

/// Logs what OpenTelemetry's own variables came to.
fn note(notes: &TraceNotes) {
    for problem in &notes.problems {
        tracing::warn!("{problem}");
    }
    if let Some(variable) = notes.turned_off_by {
        tracing::info!("requests are not traced: {variable} turns that off");
    }
    if !notes.unused.is_empty() {
        let unused = notes.unused.join(", ");
        tracing::info!(unused, "variables of OpenTelemetry that have no effect here: {unused}");
    }
}

fn run(command: Command, runtime: &Runtime) -> Result<u8, Box<dyn Error>> {
    match command {
        Command::Serve(args) => runtime.block_on(serve::run(*args)),
        Command::Edge(args) => runtime.block_on(serve::run_edge(*args)),
        Command::Migrate(args) => runtime.block_on(migrate::run(args)),
        Command::Check(args) => runtime.block_on(check::run(args)),
        Command::Tenant(args) => runtime.block_on(tenant::run(args.command)),
        Command::Module(args) => runtime.block_on(catalogue::modules(args)),
        Command::Plan(args) => runtime.block_on(catalogue::plans(*args)),
        Command::Feature(args) => runtime.block_on(feature::run(*args)),
        Command::Limit(args) => runtime.block_on(limit::run(args)),
        Command::Usage(args) => runtime.block_on(usage::run(args.command)),
        Command::Routes(args) => runtime.block_on(routes::run(args)),
        Command::Token(args) => token::run(args),
        Command::LeaseKey(args) => lease_key::run(args),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(&args),
    }
}

/// Loads, timers and signals run here. Requests are answered on threads of their own, see `worker`.
///
/// One thread: all of it is waiting, and a second one only wakes the first. A cold look-up took 1.6
/// to 1.8 times its statement with two, and 1.3 to 1.4 with one (benches/README.md).
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("background").enable_all().build()
}

fn trouble(error: &dyn std::fmt::Display) -> ExitCode {
    let text = without_passwords(&error.to_string());
    // Indented, so that no line of it can pass for one of ours.
    eprintln!("error: {}", escape_control_lines(&text).replace('\n', "\n  "));
    TROUBLE.into()
}

/// Prints a message of clap: help on standard output, in colours if that is a terminal which wants
/// them; an error on standard error, without a URL's password.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // If the pipe is closed, the reader has seen enough.
        _ = error.print();
        return GOOD.into();
    }
    eprint!("{}", escape_control_lines(&without_passwords(&error.render().to_string())));
    TROUBLE.into()
}
