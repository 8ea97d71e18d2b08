//! Why everything is read again.

use crate::{
    observability::log_limiter::{LogLimiter, log_limited},
    store::Gap,
};

/// Tells the log why, unless that is clear from what it has been told already.
pub(super) fn tell(gap: Gap) {
    static TOO_MANY: LogLimiter = LogLimiter::new();
    match gap {
        // What comes next in the log says that it has begun.
        Gap::NotReadBefore => {}
        Gap::Untraced => tracing::warn!(
            "a trigger of the change log was switched off or on, dropped or made, or a table was rewritten: what was written \
             meanwhile may not be in the log, so everything is read again; entitlementd migrate --status says how the triggers are armed"
        ),
        Gap::History => tracing::info!(
            "the database was restarted, promoted or restored, or is another one: everything is read again"
        ),
        Gap::Folded => tracing::warn!(
            "changes were folded before they were read here: everything is read again"
        ),
        Gap::TooMany => {
            log_limited!(
                TOO_MANY,
                info,
                "more has changed at once than is told apart: everything is read again"
            );
        }
    }
}
