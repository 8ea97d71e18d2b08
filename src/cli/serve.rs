//! `entitlementd serve`.

mod demo;

use tokio::signal::unix::{SignalKind, signal};

use super::GOOD;
use crate::{clock::Clock, config::ServeArgs, server::start};

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(mut args: ServeArgs) -> Result<u8, Box<dyn std::error::Error>> {
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
