//! Who is at the other end of a connection.

use std::{net::IpAddr, sync::Arc};

/// Who is at the other end of a connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The address that it comes from; `None` for a socket in the file system.
    pub address: Option<IpAddr>,
    /// The names in the certificate that it has shown: URIs, then names of the DNS.
    pub names: Arc<[String]>,
}
