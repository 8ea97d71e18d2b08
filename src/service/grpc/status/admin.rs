//! Errors of administration.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{FieldViolation, PreconditionViolation, StatusExt};

use super::{
    CANNOT_BE_ASKED, MAX_VIOLATIONS, details, invalid_fields, status, store, store_unavailable,
    tenant_not_found, try_again,
};
use crate::{
    domain::{SubdomainRefusal, Violation},
    proto::v1::ErrorReason,
    service::admin::AdminError,
    store::{MutationError, StoreError},
};

/// When to try again after too many failures: they are counted by the minute.
const RETRY_FAILURES: Duration = Duration::from_mins(1);

/// Byte budget for the messages of violations, percent-encoded as they are in the header.
const MAX_VIOLATION_BYTES: usize = 3 * 1024;

// It is not known whether the change was made.
const SEND_AGAIN: &str = "the database failed; send it again with the same request_id";

fn mutation(error: MutationError) -> Status {
    match error {
        MutationError::Store(error) => {
            tracing::warn!(%error, "a change failed, or it is not known whether it was made: {error}");
            match error {
                StoreError::Unreadable { .. } => store(error),
                StoreError::PrimaryAway(_) => store_unavailable(
                    "the primary database cannot be asked at the moment; send it again with the same request_id",
                ),
                _ => store_unavailable(SEND_AGAIN),
            }
        }
        MutationError::TenantNotFound => tenant_not_found(),
        MutationError::Refused(violations) => refused(&violations),
        MutationError::Subdomain(refusal) => subdomain_refused(refusal),
        MutationError::Template { file, cause } => {
            tracing::error!(file, cause, "the file {file} of the tenant template failed: {cause}");
            let message = format!(
                "the file {file} of the tenant template failed; the log and the record say why"
            );
            status(Code::FailedPrecondition, message, ErrorReason::TemplateFailed)
        }
        MutationError::RequestIdReused => {
            let message = "another request was made under this request_id: take a new one";
            status(Code::AlreadyExists, message, ErrorReason::RequestIdReused)
        }
    }
}

/// A status's message is percent-encoded: a byte that is not printable ASCII takes three.
fn bytes_in_a_header(text: &str) -> usize {
    text.bytes().map(|byte| if byte.is_ascii_graphic() || byte == b' ' { 1 } else { 3 }).sum()
}

fn subdomain_refused(refusal: SubdomainRefusal) -> Status {
    match refusal {
        SubdomainRefusal::Invalid(_) | SubdomainRefusal::Reserved => {
            invalid_fields(vec![FieldViolation::new("subdomain", refusal.to_string())])
        }
        SubdomainRefusal::Taken | SubdomainRefusal::SchemaTaken => {
            status(Code::AlreadyExists, refusal.to_string(), ErrorReason::SubdomainTaken)
        }
    }
}

fn refused(violations: &[Violation]) -> Status {
    // Each travels twice, once in words and once in the details.
    let mut room = MAX_VIOLATION_BYTES;
    let words = violations.iter().take(MAX_VIOLATIONS).map(Violation::to_string);
    let fits = |words: &String| {
        room = room.saturating_sub(bytes_in_a_header(words));
        room > 0
    };
    let words: Vec<String> = words.take_while(fits).collect();
    let named = violations.iter().zip(&words);
    let named = named.map(|(violation, words)| {
        PreconditionViolation::new(violation.kind(), violation.subject(), words)
    });
    let mut details = details(ErrorReason::ChangeRefused);
    details.set_precondition_failure(named.collect::<Vec<_>>());
    Status::with_error_details(Code::FailedPrecondition, words.join(" "), details)
}

impl From<AdminError> for Status {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Unauthenticated => {
                let message = "an administrator's token is needed, and this is none: authorization: Bearer entadm_...";
                status(Code::Unauthenticated, message, ErrorReason::CallerUnauthenticated)
            }
            AdminError::NotAllowed(needed) => {
                let message = format!("this needs a token of the role {needed}");
                status(Code::PermissionDenied, message, ErrorReason::CallerNotAllowed)
            }
            AdminError::TooManyFailures => {
                let message = "too many tokens that nobody knows";
                try_again(
                    Code::ResourceExhausted,
                    message,
                    ErrorReason::TooManyFailures,
                    RETRY_FAILURES,
                )
            }
            AdminError::TenantNotFound => tenant_not_found(),
            AdminError::Subdomain(refusal) => subdomain_refused(refusal),
            AdminError::Read(error) => store(error),
            AdminError::ReadAbandoned => store_unavailable(CANNOT_BE_ASKED),
            AdminError::Change(error) => mutation(error),
            AdminError::ChangeAbandoned => store_unavailable(SEND_AGAIN),
        }
    }
}
