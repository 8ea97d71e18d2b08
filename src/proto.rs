//! The code that `build.rs` makes of `proto/`.

/// `entitlement.v1`.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("entitlement.v1");
}

/// The descriptors of `entitlement.v1` and all that it imports, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/entitlement_descriptor.bin"));
