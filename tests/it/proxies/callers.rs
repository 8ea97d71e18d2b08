//! Where the server knows its callers, and a client sends what a caller would.

use super::{run::World, table::When};
use crate::{callers::callers, harness::mesh::Kind};

/// The proxy is no caller, and a client says that it is: it is refused, as the proxy is.
pub(super) async fn through(kind: Kind) {
    let services = "services = [\"entitlement\", \"ext-authz\", \"forward-auth\"]";
    let file = callers(&[("console", services)]);
    let world = World::start_with(kind, &["--callers-file", file.path().to_str().unwrap()]).await;
    let proxy = world.proxy(kind, When::Served);
    let answer = proxy.send("GET", "/health", &[("x-entitlement-caller", "Bearer console")]).await;
    assert!(answer.status >= 403, "{answer:?}");
}
