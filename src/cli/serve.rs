//! `entitlementd serve`.

mod demo;

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

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(mut args: ServeArgs) -> CommandResult {
    if args.print_config {
        return print_config(&args.given);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let demo = if args.demo { Some(demo::prepare(&mut args).await?) } else { None };
    let mut running = start(args, Clock::System).await?;
    if let Some(demo) = &demo {
        demo.invite(&running.address);
    }
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
        ended = running.ended() => return Err(ended.into()),
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
