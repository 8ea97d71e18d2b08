//! Reading everything again that is followed, at once: what SIGHUP asks for.

use tokio::sync::watch;

/// Asks for it.
#[derive(Debug, Default)]
pub(crate) struct Reload(watch::Sender<()>);

/// Hears that it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Reloads(watch::Receiver<()>);

impl Reload {
    /// Asks everybody who hears of it.
    pub(crate) fn ask(&self) {
        self.0.send_replace(());
    }

    /// For somebody who follows something.
    pub(crate) fn heard(&self) -> Reloads {
        Reloads(self.0.subscribe())
    }
}

impl Reloads {
    /// Resolves when it has been asked for since the last time; several times count as one.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The server stops, and nobody will ask.
            std::future::pending::<()>().await;
        }
    }
}
