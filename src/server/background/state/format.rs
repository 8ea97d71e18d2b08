//! The layout of a file of what was held.
//!
//! ```text
//! 16 bytes   that say what it is
//!  4 bytes   the version of what follows, the lowest byte first, as in all numbers
//! records    each 1 byte for its kind, 4 for its length, and so many bytes: the head, the catalogue
//!            if there is one, tenants, and last the number of tenants
//! 32 bytes   SHA-256 of all before it, in every version
//! ```

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::wire::Unreadable;

/// What such a file begins with.
pub(super) const MAGIC: [u8; 16] = *b"entitlementd st\n";

/// Grows with each change of what the records or their messages mean: a field that an older program
/// would pass over may be one that takes a right away.
pub(super) const VERSION: u32 = 1;

/// The size of what comes before the records.
pub(super) const PREAMBLE: usize = MAGIC.len() + size_of::<u32>();

/// The size of the checksum.
pub(super) const DIGEST: usize = 32;

/// The size of a record at most: of the catalogue, or of one tenant with ten thousands of rows. What
/// is larger is left out.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// The size of a file at most, for each tenant that may be held. One with ten subscriptions takes half
/// a KiB, and one with two hundred flags and as many subscriptions as many.
const MAX_BYTES_PER_TENANT: u64 = 16 << 10;

/// By how much a clock may have been set back, as it is when it is put right.
pub(super) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// The size of a file at most. It follows from what may be held, so that there is no setting that
/// could contradict that.
pub(super) fn max_bytes(capacity: usize) -> u64 {
    (capacity as u64).saturating_mul(MAX_BYTES_PER_TENANT).saturating_add(2 * MAX_RECORD as u64)
}

/// What stands before the upstreams of an edge, which are separated by spaces.
pub(super) const UPSTREAMS: &str = "upstream ";

/// The kinds of records.
pub(super) mod kind {
    pub(in super::super) const HEAD: u8 = 1;
    pub(in super::super) const CATALOGUE: u8 = 2;
    pub(in super::super) const OUTDATED_CATALOGUE: u8 = 3;
    pub(in super::super) const TENANT: u8 = 4;
    pub(in super::super) const OUTDATED_TENANT: u8 = 5;
    pub(in super::super) const END: u8 = 6;
}

/// Why a file is not used.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// It does not begin as such files do.
    #[error("it is no file of what a server held")]
    Foreign,
    /// It was written by a newer program.
    #[error("it has the format {0}, and this program reads up to {VERSION}: a newer one wrote it")]
    Newer(u32),
    /// Its checksum is not that of its contents.
    #[error("it is not whole: it was cut off, or changed")]
    Torn,
    /// It is whole, and not made as such files are.
    #[error("its records are not as they should be: {0}")]
    Malformed(&'static str),
    /// A message cannot be read back.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// It is larger than one of a server that may hold so many tenants.
    #[error("it has {0} bytes, and --cache-capacity comes to {1} at most")]
    TooLarge(u64, u64),
    /// It is of another database.
    #[error("it is of {found}, and this server's facts are of {ours}")]
    AnotherDatabase { found: String, ours: String },
    /// The clock has been set back since.
    #[error("it was written at {0}, and it is not that late yet: nobody knows how old it is")]
    FromTheFuture(DateTime<Utc>),
    /// It was older than what is served.
    #[error("the database last vouched for it at {0}, which is longer ago than --max-stale")]
    TooOld(DateTime<Utc>),
    /// The system says no.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
}
