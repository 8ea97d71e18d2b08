//! What a stream of changes sends, and what becomes of it.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use tonic::Status;

use crate::{
    ask::{Event, Events},
    core::Core,
    outage::Part,
    stream::heard_at,
};

/// A stream that has been silent for this long is given up.
const SILENCE: Duration = Duration::from_secs(45);

/// The next event of a stream; `None`: it has ended.
pub(crate) async fn next(stream: &mut Events) -> Result<Option<Event>, Status> {
    let told = timeout(SILENCE, stream.next()).await;
    told.map_err(|_| Status::deadline_exceeded("the stream has been silent for too long"))?
        .transpose()
}

/// Records that the stream has ended, and why.
pub(crate) fn lose(core: &Core, cause: &str) {
    core.held.stream.close();
    core.counters.watching.set(0.0);
    core.lost(Part::Stream, cause);
}

/// Records that there is no stream, and will be none: that is no outage.
pub(crate) fn close(core: &Core) {
    core.held.stream.close();
    core.counters.watching.set(0.0);
    core.back(Part::Stream);
}

/// Applies an event.
pub(crate) fn hear(core: &Core, event: Event) {
    let now = core.clock.now();
    core.held.stream.event(now);
    match event {
        Event::Opened { heartbeat_interval } => {
            core.held.stream.open(heartbeat_interval, now);
            core.answered();
            core.back(Part::Stream);
            core.counters.watching.set(1.0);
        }
        Event::TenantChanged { tenant, revision } => {
            if revision == 0 {
                core.held.stream.settle(now);
            }
            core.held.tenant_changed(tenant, revision);
            core.counters.changes.increment(1);
        }
        Event::CatalogueChanged { revision } => {
            core.held.catalogue_changed(revision, now);
            core.counters.resets.increment(1);
        }
        Event::Reset => {
            core.held.stream.reset(now);
            core.counters.resets.increment(1);
        }
        Event::Heartbeat { lag, unproven } => {
            core.held.stream.beat(heard_at(lag, unproven, now), now);
        }
        Event::Ending | Event::Nothing => {}
    }
}
