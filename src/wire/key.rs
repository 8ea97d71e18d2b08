//! What tenants are looked up by.

use uuid::Uuid;

use crate::{
    domain::Label,
    proto::replication::{self as proto, tenant_key::Key},
    store::TenantKey,
};

/// A key as a message.
pub fn tenant_key(key: &TenantKey) -> proto::TenantKey {
    let key = match key {
        TenantKey::Id(id) => Key::Id(id.uuid().into_bytes().to_vec()),
        TenantKey::Subdomain(label) => Key::Subdomain(label.as_str().to_owned()),
    };
    proto::TenantKey { key: Some(key) }
}

/// The key that a message is of; `None`: it is none that could be asked for.
pub fn tenant_key_of(proto::TenantKey { key }: &proto::TenantKey) -> Option<TenantKey> {
    match key.as_ref()? {
        Key::Id(id) => Uuid::from_slice(id).ok().map(|id| TenantKey::Id(id.into())),
        Key::Subdomain(label) => Label::parse(label).map(TenantKey::Subdomain),
    }
}
