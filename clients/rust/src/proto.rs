//! The generated client of `proto/entitlement/v1`, for what this library does not cover.

/// Package `entitlement.v1`.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; the comments are in the protos"
)]
pub mod v1 {
    include!("../generated/entitlement.v1.rs");
}
