//! Receiving changes: one stream, opened again whenever it ends.

use std::{mem, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tonic::Status;

use crate::{
    ask::{Event, Events},
    changes::{close, hear, lose, next},
    core::Core,
    error::is_outage,
    handover::hand_over,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a server has refused the stream, or does not receive changes itself: it may be
/// restarted with another configuration.
const OFF_PAUSE: Duration = Duration::from_secs(30);

/// Ends the task when dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    task: Option<JoinHandle<()>>,
    is_open: watch::Receiver<bool>,
}

impl Watching {
    pub(crate) fn start(core: Arc<Core>) -> Self {
        let (say, is_open) = watch::channel(false);
        Self { task: Some(tokio::spawn(keep_watching(core, say))), is_open }
    }

    /// Nobody watches: there is no stream, or changes are announced in another way.
    pub(crate) fn nobody(is_open: bool) -> Self {
        Self { task: None, is_open: watch::channel(is_open).1 }
    }

    #[cfg(feature = "open-feature")]
    pub(crate) fn is_meant_to(&self) -> bool {
        self.task.is_some() || *self.is_open.borrow()
    }

    pub(crate) async fn opened(&self) {
        let mut is_open = self.is_open.clone();
        if is_open.wait_for(|is_open| *is_open).await.is_err() {
            // Nobody watches: it never opens.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep_watching(core: Arc<Core>, say: watch::Sender<bool>) {
    let mut pause = FIRST_PAUSE;
    // Said once, until a stream opens.
    let mut is_refused = false;
    loop {
        let ended = match core.server().watch().await {
            Ok(stream) => follow(&core, stream, &say).await,
            Err(status) => Err(status),
        };
        let was_open = say.send_replace(false);
        if was_open {
            (pause, is_refused) = (FIRST_PAUSE, false);
        }
        match ended {
            Ok(()) => lose(&core, "the stream of changes ended"),
            Err(status) if is_outage(&status) => lose(&core, status.message()),
            Err(status) => {
                if !mem::replace(&mut is_refused, true) {
                    let why = status.message();
                    tracing::warn!(code = ?status.code(), "changes cannot be received, so answers are held for their max_age: {why}");
                }
                close(&core);
                pause = OFF_PAUSE;
            }
        }
        tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

async fn follow(core: &Core, mut stream: Events, say: &watch::Sender<bool>) -> Result<(), Status> {
    while let Some(event) = next(&mut stream).await? {
        if let Event::Ending = event {
            stream = hand_over(core, stream).await?;
            continue;
        }
        let is_open = matches!(event, Event::Opened { .. });
        hear(core, event);
        if is_open {
            say.send_replace(true);
        }
    }
    Ok(())
}
