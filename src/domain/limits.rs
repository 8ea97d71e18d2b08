//! Every limit on what a caller may send, in one place. The proto comments state the same numbers.

use std::{ops::RangeInclusive, time::Duration};

/// Maximum length of a module code, in characters: `modules.code` is a `varchar(50)`.
pub const MAX_MODULE_CODE_CHARS: usize = 50;

/// Maximum length of a feature's key, in characters: `feature_flags.feature_key` is a
/// `varchar(100)`.
pub const MAX_FEATURE_KEY_CHARS: usize = 100;

/// Maximum length of a limit's key, in characters.
pub const MAX_LIMIT_KEY_CHARS: usize = 50;

/// Maximum length of the name of a thing that is counted, in bytes.
pub const MAX_USAGE_KEY_BYTES: usize = 128;

/// Maximum amount of one reservation.
pub const MAX_USAGE_AMOUNT: i64 = 1_000_000_000_000;

/// How long a reservation may be held.
pub const HOLDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Maximum number of keys that one request may reconcile.
pub const MAX_RECONCILED: usize = 1500;

/// Maximum number of events that one message may record.
pub const MAX_RECORDED: usize = 1000;

/// How far back what was used is accepted at most: it is then still known what was counted before.
pub const MAX_USAGE_AGE: Duration = Duration::from_hours(35 * 24);

/// How long a lease of usage may last.
pub const LEASES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_mins(10);

/// Maximum size of a signed lease, in bytes. Who verifies one refuses more.
pub const MAX_SIGNED_LEASE_BYTES: usize = 32 * 1024;

/// Maximum length of the audience of a signed lease, in bytes.
pub const MAX_AUDIENCE_BYTES: usize = 200;

/// How long signed leases may be allowed to last.
pub const SIGNED_LEASES: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(31 * 24);

/// Maximum number of spans in one answer about usage.
pub const MAX_USAGE_SPANS: usize = 10_000;

/// Maximum length of a feature's value, in characters of JSON with every digit written out.
pub const MAX_VALUE_CHARS: usize = 2_000;

/// Maximum size of the features and limits in a list of a tenant's modules, in bytes: callers accept
/// messages of 4 MiB.
pub const MAX_LISTED_FEATURE_BYTES: usize = 1024 * 1024;

/// Maximum number of codes in one batch.
pub const MAX_BATCH: usize = 100;

/// Maximum number of tenants that one watcher may name.
pub const MAX_WATCHED: usize = 1000;

/// How often a watcher may want a heartbeat.
pub const HEARTBEAT_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(10);

/// Maximum number of tenants on one page of a list.
pub const MAX_PAGE: u32 = 1000;

/// The page size for administrators who do not choose one.
pub const DEFAULT_PAGE: u32 = 100;

/// Maximum length of a text that tenants are searched for by, in characters.
pub const MAX_SEARCH_CHARS: usize = 100;

/// Maximum size of a request message, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Maximum size of a request of UsageService, in bytes: 1 500 keys fit.
pub const MAX_USAGE_REQUEST_BYTES: usize = 256 * 1024;

/// Maximum size of a proxy's message about one HTTP request, in bytes: Envoy sends all headers, and
/// accepts 60 KiB of them.
pub const MAX_AUTHZ_REQUEST_BYTES: usize = 256 * 1024;

/// Maximum length of a bearer token, in bytes, without `Bearer `.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Maximum length of a DNS label, in bytes (RFC 1035, section 2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;

/// Maximum length of a DNS name without the trailing dot, in bytes (RFC 1035, section 2.3.4).
pub const MAX_NAME_BYTES: usize = 253;

/// Maximum length of a request id that is accepted from a caller, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// Maximum length of an administrator's name, in bytes.
pub const MAX_ACTOR_NAME_BYTES: usize = 64;

/// Maximum length of a new tenant's name, in characters: `tenants.name` is a `varchar(255)`.
pub const MAX_TENANT_NAME_CHARS: usize = 255;

/// Maximum length of the name of a module or plan, in characters: a `varchar(100)`.
pub const MAX_OFFER_NAME_CHARS: usize = 100;

/// Maximum length of a module's category and of a plan's slug, in characters: a `varchar(50)`.
pub const MAX_WORD_CHARS: usize = 50;

/// Maximum length of a module's description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1000;

/// Maximum length of a module's route, in characters.
pub const MAX_ROUTE_CHARS: usize = 200;

/// Maximum length of a new tenant's trial, in days.
pub const MAX_TRIAL_DAYS: u32 = 366;

/// Maximum length of a recorded reason, in characters.
pub const MAX_REASON_CHARS: usize = 500;

/// Maximum number of modules that one mutation may name.
pub const MAX_MUTATED_MODULES: usize = 100;

/// For how many hours a request id is remembered.
pub const REQUEST_ID_HOURS: i64 = 24;

/// Maximum size of the file of administrators' tokens, in bytes: some thousands of tokens.
pub const MAX_TOKENS_FILE_BYTES: u64 = 1024 * 1024;

/// Minimum length of a new tenant's subdomain, in bytes.
pub const MIN_SUBDOMAIN_BYTES: usize = 3;

/// PostgreSQL truncates longer names to this many bytes (NAMEDATALEN - 1).
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// The number of unknown tokens per minute from one address that are answered as such. Further ones
/// get another error.
pub const MAX_FAILURES_A_MINUTE: u32 = 10;
