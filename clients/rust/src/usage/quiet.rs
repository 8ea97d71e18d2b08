//! What happens many times a second is said once a minute.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const QUIET: Duration = Duration::from_secs(60);

/// When something was last said.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<Option<Instant>>);

impl Quiet {
    /// May it be said now? Then it has been.
    pub(crate) fn is_due(&self) -> bool {
        let (mut said, now) = (self.0.lock(), Instant::now());
        let is_due = said.is_none_or(|said| now.duration_since(said) >= QUIET);
        if is_due {
            *said = Some(now);
        }
        is_due
    }
}
