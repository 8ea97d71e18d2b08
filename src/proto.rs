//! The code that is generated from `proto/`: `cargo run -p entitlementd-codegen` writes it.

/// `entitlement.v1`.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    include!("../proto/generated/entitlement.v1.rs");
}

/// `entitlement.replication.v1`: what instances hold, as they keep it in files and send it to each
/// other.
#[expect(
    unused_qualifications,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod replication {
    include!("../proto/generated/entitlement.replication.v1.rs");
}

/// `entitlement.replication.v1.FollowFactsResponse`, with changes that are encoded already: thousands
/// receive the same.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FollowFactsResponse {
    /// The first message.
    #[prost(message, optional, tag = "1")]
    pub opened: Option<replication::FollowOpened>,
    /// An encoded [`FactChanges`](replication::FactChanges).
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub changes: Option<prost::bytes::Bytes>,
    /// How good what is known is.
    #[prost(message, optional, tag = "3")]
    pub heartbeat: Option<replication::FollowHeartbeat>,
}

/// Envoy's external authorization API, as far as it is used: `proto/envoy`.
#[expect(missing_docs, reason = "the modules are named as the packages are")]
pub mod envoy {
    use prost::bytes::Bytes;

    /// `envoy.service.auth.v3.CheckRequest`, not decoded: of a hundred fields only a few are read,
    /// in place.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CheckRequest {
        /// An encoded `AttributeContext`.
        #[prost(bytes = "bytes", tag = "1")]
        pub attributes: Bytes,
    }

    /// `envoy.service.auth.v3.CheckResponse`, whose parts are already encoded.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CheckResponse {
        /// OK means that the request passes.
        #[prost(message, optional, tag = "1")]
        pub status: Option<tonic_types::Status>,
        /// An encoded `DeniedHttpResponse`.
        #[prost(bytes = "vec", optional, tag = "2")]
        pub denied_response: Option<Vec<u8>>,
        /// An encoded `OkHttpResponse`.
        #[prost(bytes = "vec", optional, tag = "3")]
        pub ok_response: Option<Vec<u8>>,
        /// An encoded `google.protobuf.Struct`.
        #[prost(bytes = "vec", optional, tag = "4")]
        pub dynamic_metadata: Option<Vec<u8>>,
    }

    /// `envoy.config`.
    pub mod config {
        pub mod core {
            pub mod v3 {
                include!("../proto/generated/envoy.config.core.v3.rs");
            }
        }
    }
    /// `envoy.service`.
    #[expect(
        unused_qualifications,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    pub mod service {
        pub mod auth {
            pub mod v3 {
                include!("../proto/generated/envoy.service.auth.v3.rs");
            }
        }
    }
    /// `envoy.type`.
    pub mod r#type {
        pub mod v3 {
            include!("../proto/generated/envoy.r#type.v3.rs");
        }
    }
}

mod methods {
    include!("../proto/generated/methods.rs");
}
pub use self::methods::Method;

/// The descriptors of `entitlement.v1` and all that it imports, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../proto/generated/descriptors.bin");
