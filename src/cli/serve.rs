//! `entitlementd serve`.

mod demo;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    GOOD,
    output::{CommandResult, print, table},
};
use crate::{
    clock::Clock,
    config::{EdgeArgs, Given, ListenAddress, ServeArgs},
    escape::escape_control,
    server::{Running, ServeError, start, start_edge},
};

/// Serves from the database.
pub(crate) async fn run(mut args: ServeArgs) -> CommandResult {
    if args.print_config {
        return print_config(&args.given);
    }
    let demo = if args.demo { Some(demo::prepare(&mut args).await?) } else { None };
    let invite = |address: &ListenAddress| demo.iter().for_each(|demo| demo.invite(address));
    // Boxed: what starts a server is large.
    Box::pin(until_stopped(start(args, Clock::System), invite)).await
}

/// Serves from another instance.
pub(crate) async fn run_edge(args: EdgeArgs) -> CommandResult {
    if args.print_config {
        return print_config(&args.given);
    }
    Box::pin(until_stopped(start_edge(args, Clock::System), |_| {})).await
}

/// Serves until SIGTERM or SIGINT. SIGHUP reads again what is followed.
async fn until_stopped(
    start: impl Future<Output = Result<Running, ServeError>>,
    started: impl FnOnce(&ListenAddress),
) -> CommandResult {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // A limit of the size of files would end the server with its decision log. So writing fails.
    let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let mut running = start.await?;
    started(&running.address);
    loop {
        tokio::select! {
            _ = terminate.recv() => break tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => break tracing::info!("stopping: SIGINT"),
            Some(()) = hangup.recv() => {
                tracing::info!("all files are read again: SIGHUP");
                running.reload();
            }
            ended = running.ended() => return Err(ended.into()),
        }
    }
    running.stop().await?;
    tracing::info!("stopped");
    Ok(GOOD)
}

fn print_config(given: &[Given]) -> CommandResult {
    let mut table = table(&["SETTING", "VALUE", "SET BY"]);
    for Given { flag, value, source } in given {
        table.add_row([flag, &*escape_control(value), &source.to_string()]);
    }
    print(&table.trim_fmt())
}
