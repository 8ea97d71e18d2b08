//! Trying again.

use super::StoreError;

/// How often what has lost its connection is tried again on another one: a restarted server leaves a
/// pool full of dead connections, and each one is dropped when it is used.
pub(super) struct Retries(u32);

impl Default for Retries {
    fn default() -> Self {
        Self(19)
    }
}

impl Retries {
    /// Is it to be tried again after this error?
    pub(super) fn allow(&mut self, error: &StoreError) -> bool {
        let allows = error.lost_connection() && self.0 > 0;
        if allows {
            self.0 -= 1;
            tracing::debug!(%error, "a connection was lost: retrying on another one");
        }
        allows
    }
}
