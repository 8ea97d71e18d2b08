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
    config::{Given, ServeArgs},
    escape::escape_control,
    server::start,
};

/// Serves until SIGTERM or SIGINT. SIGHUP reads again what is followed.
pub(crate) async fn run(mut args: ServeArgs) -> CommandResult {
    if args.print_config {
        return print_config(&args.given);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // A limit of the size of files would end the server with its decision log. So writing fails.
    let _too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let demo = if args.demo { Some(demo::prepare(&mut args).await?) } else { None };
    let mut running = start(args, Clock::System).await?;
    if let Some(demo) = &demo {
        demo.invite(&running.address);
    }
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
