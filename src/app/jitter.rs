//! Dice: many instances must not do the same thing at the same time.

use std::time::Duration;

/// A span moved by up to a tenth, either way.
pub(super) fn around(span: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_fields().0;
    span.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}
