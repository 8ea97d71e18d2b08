//! From one stream of changes to the next without missing a change, so that nothing that is held
//! has to be dropped.

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt, TryFutureExt};
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::{
    ask::{Event, Events},
    changes::{hear, next},
    clock::Micros,
    core::Core,
    stream::heard_at,
};

/// An event that a server knows of arrives within this time: the server reads the tenant again
/// first, and the network may be slow.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// How long a stream that has announced its end is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many times opening another stream is tried. A server that is stopping waits for this, and
/// may be the only one.
const TRIES: u32 = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// When another stream opened, and when its server is last known to have received changes.
struct Opened {
    at: Instant,
    heard: Micros,
    heartbeat_interval: Option<Micros>,
}

impl Opened {
    /// Has the old stream sent everything that the new one will not?
    ///
    /// The new stream may come from another server, and does not send what that server received
    /// before the stream opened. All of that was committed before the stream opened. The old server
    /// may receive it later, and then sends it: it has received all that was committed up to `lag`
    /// ago, and has sent it except for what is still in transit.
    fn has_missed_nothing(&self, lag: Duration) -> bool {
        self.at.elapsed() > lag + ON_ITS_WAY
    }
}

/// The stream will end in a moment: opens another one, and returns it once it has taken over. What
/// is held stays good if nothing can have been missed in between; otherwise it is as if the old
/// stream had ended without notice and the new one had begun.
pub(crate) async fn hand_over(core: &Core, mut old: Events) -> Result<Events, Status> {
    let mut new = open(core, Duration::ZERO);
    let mut opened = None::<Opened>;
    let mut tries = 1;
    let mut too_long = pin!(sleep(PATIENCE));
    loop {
        tokio::select! {
            told = next(&mut old) => match told {
                Ok(Some(event)) => {
                    if let (Event::Heartbeat { lag, .. }, Some(opened)) = (&event, &opened)
                        && opened.has_missed_nothing(Duration::from_micros(lag.unsigned_abs()))
                    {
                        let Opened { heard, heartbeat_interval, .. } = *opened;
                        core.held.stream.taken_over(heard, heartbeat_interval, core.clock.now());
                        return Ok(new);
                    }
                    hear(core, event);
                }
                ended => return instead_of(core, ended.err(), opened.zip(Some(new))),
            },
            told = next(&mut new) => match told {
                Ok(Some(Event::Opened { heartbeat_interval })) => {
                    opened = Some(Opened { at: Instant::now(), heard: core.clock.now(), heartbeat_interval });
                }
                Ok(Some(Event::Heartbeat { lag, unproven })) => {
                    if let Some(opened) = &mut opened {
                        opened.heard = heard_at(lag, unproven, core.clock.now());
                    }
                }
                // The new stream's connection is about to end too, or it could not be opened.
                Ok(Some(Event::Ending) | None) | Err(_) if tries < TRIES => {
                    (new, opened, tries) = (open(core, PAUSE.mul_f64(0.5 + fastrand::f64())), None, tries + 1);
                }
                Ok(Some(Event::Ending) | None) => return Err(Status::unavailable("no other stream can be had")),
                Ok(Some(event)) => hear(core, event),
                Err(status) => return Err(status),
            },
            () = &mut too_long => return instead_of(core, None, opened.zip(Some(new))),
        }
    }
}

/// The old stream ended before it was certain that nothing was missed.
fn instead_of(
    core: &Core,
    error: Option<Status>,
    new: Option<(Opened, Events)>,
) -> Result<Events, Status> {
    let Some((Opened { heartbeat_interval, .. }, new)) = new else {
        return Err(
            error.unwrap_or_else(|| Status::unavailable("it ended before another one was open"))
        );
    };
    hear(core, Event::Opened { heartbeat_interval });
    Ok(new)
}

fn open(core: &Core, pause: Duration) -> Events {
    let opening = core.server().watch();
    async move {
        sleep(pause).await;
        opening.await
    }
    .try_flatten_stream()
    .boxed()
}
