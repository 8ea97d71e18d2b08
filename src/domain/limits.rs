//! Every limit on what a caller may send, in one place. The proto comments state the same numbers.

/// Longest module code, in characters: `modules.code` is a `varchar(50)`.
pub const MAX_MODULE_CODE_CHARS: usize = 50;

/// Most codes in one batch.
pub const MAX_BATCH: usize = 100;

/// Most tenants that one watcher may name.
pub const MAX_WATCHED: usize = 1000;

/// Most tenants on one page of a list.
pub const MAX_PAGE: u32 = 1000;

/// What administrators are shown on one page, where they leave it open.
pub const DEFAULT_PAGE: u32 = 100;

/// Longest text by which tenants are looked for, in characters.
pub const MAX_SEARCH_CHARS: usize = 100;

/// Largest request message, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Largest message of a proxy about one HTTP request, in bytes: Envoy sends all headers, and takes
/// 60 KiB of them.
pub const MAX_AUTHZ_REQUEST_BYTES: usize = 256 * 1024;

/// Longest bearer token, in bytes, without `Bearer `.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Longest DNS label, in bytes (RFC 1035, section 2.3.4).
pub const MAX_LABEL_BYTES: usize = 63;

/// Longest DNS name, in bytes, as it is written without the trailing dot (RFC 1035, section 2.3.4).
pub const MAX_NAME_BYTES: usize = 253;

/// Longest request id that is taken over from a caller, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// Longest name of an administrator, in bytes.
pub const MAX_ACTOR_NAME_BYTES: usize = 64;

/// Longest name of a new tenant, in characters: `tenants.name` is a `varchar(255)`.
pub const MAX_TENANT_NAME_CHARS: usize = 255;

/// Longest name of a module or plan, in characters: a `varchar(100)`.
pub const MAX_OFFER_NAME_CHARS: usize = 100;

/// Longest category of a module, and longest slug of a plan, in characters: a `varchar(50)`.
pub const MAX_WORD_CHARS: usize = 50;

/// Longest description of a module, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1000;

/// Longest route of a module, in characters.
pub const MAX_ROUTE_CHARS: usize = 200;

/// Longest trial of a new tenant, in days.
pub const MAX_TRIAL_DAYS: u32 = 366;

/// Longest reason that is recorded, in characters.
pub const MAX_REASON_CHARS: usize = 500;

/// Most modules that one mutation may name.
pub const MAX_MUTATED_MODULES: usize = 100;

/// For how many hours a request id is remembered.
pub const REQUEST_ID_HOURS: i64 = 24;

/// Largest file of administrators' tokens, in bytes: some thousands of them.
pub const MAX_TOKENS_FILE_BYTES: u64 = 1024 * 1024;

/// Shortest subdomain that a new tenant may have, in bytes.
pub const MIN_SUBDOMAIN_BYTES: usize = 3;

/// Of a longer name PostgreSQL keeps only so many bytes (NAMEDATALEN - 1).
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// Tokens that nobody knows, from one address in a minute. Further ones are not answered as such.
pub const MAX_FAILURES_A_MINUTE: u32 = 10;
