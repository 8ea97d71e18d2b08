//! Errors to statuses: callers see our words, the log sees the cause.

mod admin;

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    cache::LoadError,
    domain::{Reason, resolve::Unresolved},
    observability::log_limiter::{LogLimiter, log_limited},
    proto::v1::ErrorReason,
    security::token::InvalidToken,
    service::{
        caller::{NotAdmitted, Scope},
        error::{RequestError, Unidentified},
    },
    store::StoreError,
    usage::UsageError,
};

/// `google.rpc.ErrorInfo.domain` of every status of ours.
const DOMAIN: &str = "entitlement.v1";

/// When to try again once the database could not be asked: it is asked anew by then.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// When to try again once too much was in flight: an answer takes microseconds.
const RETRY_OVERLOAD: Duration = Duration::from_millis(100);

/// Violations named at most. They travel in a header, of which many clients take no more than 8
/// KiB.
const MAX_VIOLATIONS: usize = 20;

const CANNOT_BE_ASKED: &str =
    "the database cannot be asked at the moment, and the answer is not held";
const TOO_MANY_ASK: &str = "too many wait to ask the database, and the answer is not held";

pub(in crate::service) fn invalid_fields(mut violations: Vec<FieldViolation>) -> Status {
    violations.truncate(MAX_VIOLATIONS);
    let fields: Vec<String> = violations
        .iter()
        .map(|violation| format!("{} {}", violation.field, violation.description))
        .collect();
    let message = format!("invalid request: {}", fields.join("; "));
    let mut details = details(ErrorReason::InvalidField);
    details.set_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A proxy asks about something that is not HTTP.
pub(in crate::service) fn no_http_request() -> Status {
    invalid_fields(vec![FieldViolation::new("attributes.request.http", "must be given")])
}

/// What tonic could not read as the request's message, which may have so many bytes.
pub(in crate::service) fn malformed_request(max_bytes: usize) -> Status {
    let message =
        format!("the message is not readable as this request, or larger than {max_bytes} bytes");
    status(Code::InvalidArgument, message, ErrorReason::MalformedRequest)
}

/// Health is asked about a name that has none. As the protocol says, which knows no details.
pub(in crate::service) fn unknown_to_health() -> Status {
    Status::not_found("no service here has this name")
}

/// Reflection is asked about what no descriptor describes.
pub(in crate::service) fn not_described() -> Status {
    Status::not_found("no descriptor here describes this")
}

/// Reflection is asked nothing that it knows.
pub(in crate::service) fn nothing_asked() -> Status {
    Status::invalid_argument("message_request must be one of those that v1 has")
}

/// What tonic stopped decompressing: it inflates no more than a message may have.
pub(in crate::service) fn inflated_too_much() -> Status {
    let message = "the message is larger than this request may be, once it is decompressed";
    status(Code::ResourceExhausted, message, ErrorReason::MalformedRequest)
}

/// Of no service here. What is not ours has no reason of ours.
pub(in crate::service) fn unknown_method() -> Status {
    Status::unimplemented("no service on this listener has such a method")
}

/// The cause is in the log since the load failed.
pub(in crate::service) fn load(error: LoadError) -> Status {
    match error {
        LoadError::Store(error) => store(error),
        LoadError::NotFreshEnough => {
            let message = "the database does not hold the wanted revision: was it read before the write was committed?";
            try_again(Code::Unavailable, message, ErrorReason::NotFreshEnough, RETRY_STORE)
        }
        LoadError::Failing | LoadError::Abandoned => store_unavailable(CANNOT_BE_ASKED),
        LoadError::Overloaded => exhausted(TOO_MANY_ASK, RETRY_OVERLOAD),
    }
}

fn store(error: StoreError) -> Status {
    match error {
        StoreError::Unavailable(_)
        | StoreError::NoConnection(_)
        | StoreError::Forbidden(_)
        | StoreError::Rejected(_)
        | StoreError::MissingColumns(_)
        | StoreError::TimedOut
        | StoreError::ListenerLost
        | StoreError::ListensElsewhere
        | StoreError::Upstream(_) => store_unavailable(CANNOT_BE_ASKED),
        StoreError::PrimaryAway(_) => store_unavailable(
            "the primary database, which this server's replica follows, cannot be asked at the moment",
        ),
        StoreError::Unproven => store_unavailable(
            "nobody knows at the moment how old what this server's replica shows is, and the answer is not held",
        ),
        StoreError::PoolExhausted => exhausted(TOO_MANY_ASK, RETRY_OVERLOAD),
        StoreError::Unreadable { .. } => {
            let message = "the database holds a row that cannot be read; the log says which";
            status(Code::Internal, message, ErrorReason::StoreUnreadable)
        }
    }
}

fn usage(error: UsageError) -> Status {
    match error {
        UsageError::Store(StoreError::PoolExhausted) | UsageError::Overloaded => {
            exhausted("too many wait to count", RETRY_OVERLOAD)
        }
        UsageError::Store(StoreError::Forbidden(_)) => store_unavailable(
            "this server may not count in this database: nothing was counted; the log says what it lacks",
        ),
        UsageError::Store(StoreError::Rejected(_)) => {
            let message = "the database refuses what was to be written: nothing was counted; the log says why";
            status(Code::Internal, message, ErrorReason::StoreUnreadable)
        }
        UsageError::Store(StoreError::PrimaryAway(_)) => store_unavailable(
            "the primary database cannot be asked at the moment: it may have been counted, so ask again with the same key",
        ),
        UsageError::Store(_) | UsageError::Abandoned => store_unavailable(
            "the database cannot be asked at the moment: it may have been counted, so ask again with the same key",
        ),
        UsageError::Locked => try_again(
            Code::ResourceExhausted,
            "another transaction holds the counter: nothing was counted",
            ErrorReason::CounterLocked,
            RETRY_STORE,
        ),
    }
}

/// Anybody can send tokens that nobody has signed, as fast as they like.
pub(in crate::service) fn log_refused_token(error: &InvalidToken) {
    static REFUSED: LogLimiter = LogLimiter::new();
    log_limited!(REFUSED, info, %error, "a bearer token was refused: {error}");
}

fn token_invalid(error: &InvalidToken) -> Status {
    log_refused_token(error);
    status(Code::Unauthenticated, "the bearer token is not valid", ErrorReason::TokenInvalid)
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unidentified(error) => error.into(),
            RequestError::NoModules => invalid_fields(vec![FieldViolation::new(
                "any_of_module_codes",
                "must not be empty",
            )]),
            RequestError::TooManyWatchers => exhausted("too many watch changes", RETRY_STORE),
            RequestError::ChangesOff => {
                let message =
                    "this server does not hear of changes: keep answers for their max_age";
                status(Code::FailedPrecondition, message, ErrorReason::ChangesOff)
            }
            RequestError::TooManyFollowers => exhausted("too many follow", RETRY_STORE),
            RequestError::NeedsDatabase => {
                let message = "this instance is an edge, which has no database: ask a core";
                status(Code::Unimplemented, message, ErrorReason::NoDatabase)
            }
            RequestError::NotHeardYet => store_unavailable("the database has not answered yet"),
            RequestError::Usage(error) => usage(error),
            RequestError::UsageKeyConflict => {
                let message = "this key was counted with another amount: nothing was counted";
                status(Code::AlreadyExists, message, ErrorReason::UsageKeyConflict)
            }
            RequestError::AsOfAhead => {
                invalid_fields(vec![FieldViolation::new("as_of", "must not lie ahead")])
            }
            RequestError::NotALevel => {
                let message = "only a level can be reconciled, and this meter is monthly";
                status(Code::FailedPrecondition, message, ErrorReason::NotALevel)
            }
            RequestError::NotMonthly => {
                let message =
                    "only a monthly meter has a history and leases, and this one is a level";
                status(Code::FailedPrecondition, message, ErrorReason::NotMonthly)
            }
            RequestError::NoLease => {
                status(Code::NotFound, "there is no such lease", ErrorReason::LeaseNotFound)
            }
            RequestError::SpentTooMuch => invalid_fields(vec![FieldViolation::new(
                "spent_amount",
                "must not exceed what was granted",
            )]),
            error @ RequestError::SequenceGap { .. } => {
                status(Code::FailedPrecondition, error.to_string(), ErrorReason::UsageSequenceGap)
            }
            RequestError::LeasesOff => {
                let message =
                    "this server issues no signed leases: it was started without --lease-key-file";
                status(Code::FailedPrecondition, message, ErrorReason::LeasesOff)
            }
            RequestError::LeaseTooStale => store_unavailable(
                "the database cannot be asked at the moment, and what is held is too old to be leased",
            ),
            RequestError::LeaseTooLarge(error) => invalid_fields(vec![FieldViolation::new(
                "features",
                format!("{error}: ask for less"),
            )]),
            error @ RequestError::TooManySpans => {
                invalid_fields(vec![FieldViolation::new("end_time", error.to_string())])
            }
        }
    }
}

impl From<Unidentified> for Status {
    fn from(error: Unidentified) -> Self {
        match error {
            Unidentified::Token(InvalidToken::NoKeysYet) => {
                let message = "the keys that verify bearer tokens could not be fetched yet";
                try_again(
                    Code::Unavailable,
                    message,
                    ErrorReason::TokenKeysUnavailable,
                    RETRY_STORE,
                )
            }
            Unidentified::Token(error) => token_invalid(&error),
            Unidentified::Unresolved(error) => unresolved(error),
            Unidentified::Load(error) => load(error),
            Unidentified::NotAdmitted(refused) => not_admitted(refused),
        }
    }
}

fn unresolved(error: Unresolved) -> Status {
    match error {
        Unresolved::NotNamed | Unresolved::NotFound => tenant_not_found(),
        Unresolved::Conflict => {
            status(Code::PermissionDenied, error.to_string(), ErrorReason::TenantConflict)
        }
        Unresolved::NotServed(reason) => {
            let word = match reason {
                Reason::TenantSuspended => ErrorReason::TenantSuspended,
                Reason::TenantCancelled => ErrorReason::TenantCancelled,
                _ => ErrorReason::TenantNotServed,
            };
            status(Code::PermissionDenied, reason.message(""), word)
        }
    }
}

pub(in crate::service) fn tenant_not_found() -> Status {
    status(Code::NotFound, Unresolved::NotFound.to_string(), ErrorReason::TenantNotFound)
}

pub(in crate::service) fn overloaded() -> Status {
    exhausted("too many requests are in flight", RETRY_OVERLOAD)
}

fn exhausted(message: &str, retry: Duration) -> Status {
    try_again(Code::ResourceExhausted, message, ErrorReason::Overloaded, retry)
}

/// Why a caller may not ask.
pub(in crate::service) fn not_admitted(refused: NotAdmitted) -> Status {
    let beyond = |scope| match scope {
        Scope::Service => "this caller may not use this service",
        Scope::Tenant => "this caller may not ask about this tenant",
        Scope::Module => "this caller may not ask about this module",
        Scope::Enumeration => "this caller may not ask about all tenants",
        Scope::Meter => "this caller may not count with this meter",
    };
    match refused {
        NotAdmitted::Unknown => {
            let message = "neither certificate nor bearer token is that of a known caller";
            status(Code::Unauthenticated, message, ErrorReason::CallerUnauthenticated)
        }
        NotAdmitted::NotAllowed(scope) => {
            status(Code::PermissionDenied, beyond(scope), ErrorReason::CallerNotAllowed)
        }
        NotAdmitted::TooMany(wait) => {
            let message = "this caller asks too often";
            try_again(Code::ResourceExhausted, message, ErrorReason::CallerTooFast, wait)
        }
    }
}

fn store_unavailable(message: &str) -> Status {
    try_again(Code::Unavailable, message, ErrorReason::StoreUnavailable, RETRY_STORE)
}

fn try_again(code: Code, message: &str, reason: ErrorReason, retry: Duration) -> Status {
    let mut details = details(reason);
    details.set_retry_info(Some(retry));
    Status::with_error_details(code, message, details)
}

pub(in crate::service) fn deadline_exceeded() -> Status {
    status(Code::DeadlineExceeded, "the deadline has passed", ErrorReason::DeadlineExceeded)
}

fn status(code: Code, message: impl Into<String>, reason: ErrorReason) -> Status {
    Status::with_error_details(code, message, details(reason))
}

fn details(reason: ErrorReason) -> ErrorDetails {
    ErrorDetails::with_error_info(word(reason), DOMAIN, HashMap::<String, String>::new())
}

/// A reason as callers read it.
pub(in crate::service) fn word(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
