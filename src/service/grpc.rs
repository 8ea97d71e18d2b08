//! gRPC: the only place that makes statuses and names the types of the proto files.
//!
//! To add an RPC: describe it in `proto/`, give it a place in `methods`, add its line to the
//! service's file here, write it in the file of its family in `service`, and its conversions in
//! `convert`.

pub(super) mod admin;
pub(crate) mod administration;
pub(crate) mod answer;
pub(crate) mod compression;
pub(super) mod convert;
pub(crate) mod data;
mod entitlement;
mod ext_authz;
mod failures;
mod feature_admin;
pub(crate) mod front;
mod headers;
pub(crate) mod health;
mod limited;
mod methods;
pub(crate) mod reflection;
mod replication;
mod signed_lease;
pub(super) mod status;
mod unknown;
mod usage;

use tonic::{Response, Status};

pub(crate) use self::limited::Limited;

type Answer<T> = Result<Response<T>, Status>;

#[expect(clippy::unnecessary_wraps, reason = "this is what tonic takes")]
fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}
