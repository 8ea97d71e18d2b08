//! TenantAdminService and FeatureAdminService, on a listener of their own.

mod apart;
mod catalogue;
mod delete;
mod existing_tenants;
mod feature_refusals;
mod features;
mod gate;
mod kept_terms;
mod list;
mod model;
pub mod mutate;
mod onboard;
mod own_terms;
mod record;
mod subdomain;
mod tenant;
mod time_zones;
mod upsert;

use std::{fs, path::PathBuf};

use entitlementd::{
    config::ListenAddress,
    domain::Role,
    proto::v1::{
        feature_admin_service_client::FeatureAdminServiceClient,
        tenant_admin_service_client::TenantAdminServiceClient,
    },
    security::admin_tokens::{AdminToken, TokenEntry},
};
use tempfile::TempDir;
use tonic::{Request, transport::Channel};

use crate::harness::{Database, Server, server::connect};

/// A server that answers administrators, and a token of each role.
pub struct Admin {
    pub server: Server,
    pub client: TenantAdminServiceClient<Channel>,
    pub features: FeatureAdminServiceClient<Channel>,
    pub tokens: [String; 3],
    folder: TempDir,
}

impl Admin {
    pub async fn of(database: Database, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let (lines, tokens) = tokens();
        fs::write(&file, lines).unwrap();
        let path = file.to_str().unwrap();
        let changes: &[&str] =
            if flags.contains(&"--changes") { &[] } else { &["--changes", "off"] };
        let ours = ["--admin-listen", "127.0.0.1:0", "--admin-tokens-file", path];
        let server = Server::start_with(database, &[&ours, changes, flags].concat()).await;
        let channel = connect(&address(&server)).await;
        let client = TenantAdminServiceClient::new(channel.clone());
        let features = FeatureAdminServiceClient::new(channel);
        Self { server, client, features, tokens, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// A request by whoever holds the token of this role.
    pub fn by<T>(&self, role: Role, message: T) -> Request<T> {
        with_token(message, &self.tokens[role as usize])
    }
}

pub fn address(server: &Server) -> ListenAddress {
    server.running.admin_address.clone().unwrap()
}

pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// A file's lines, and the token of each role.
fn tokens() -> (String, [String; 3]) {
    let mut lines = String::new();
    let tokens = Role::ALL.map(|role| {
        let token = AdminToken::generate().unwrap();
        lines += &TokenEntry::new(role.word().parse().unwrap(), role, &token).line();
        token.expose().to_owned()
    });
    (lines, tokens)
}
