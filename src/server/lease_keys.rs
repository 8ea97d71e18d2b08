//! The keys that sign leases, from their file.

use std::{
    convert::Infallible, fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, sync::Arc,
};

use super::background::{reload::Reloads, reloaded_files::ReloadedFiles};
use crate::{
    config::{LeaseArgs, UnusableSetting},
    security::lease_keys::{LeaseIssuer, LeaseKeys},
};

const SETTING: &str = "--lease-key-file";

/// Others than the owner of a file and its group may read it, or write to it.
const OTHERS: u32 = 0o006;

/// The file of keys, and who signs with them.
pub(crate) struct LeaseKeysFile {
    file: ReloadedFiles<LeaseKeys>,
    issuer: Arc<LeaseIssuer>,
}

impl LeaseKeysFile {
    /// Reads the file that the settings name, if they name one.
    pub(crate) fn open(
        args: &LeaseArgs,
        metrics_listen: Option<SocketAddr>,
    ) -> Result<Option<Self>, UnusableSetting> {
        let Some(path) = args.lease_key_file.clone() else { return Ok(None) };
        let place = path.clone();
        let parse = move |text: &[u8]| {
            is_private(&place)?;
            LeaseKeys::parse(text).map_err(|error| format!("it {error}"))
        };
        let (file, keys) = ReloadedFiles::open_file(SETTING, path, parse)?;
        tell(&keys);
        if metrics_listen.is_none() {
            tracing::warn!(
                "without --metrics-listen the keys of leases are published nowhere: hand on what `lease-key jwks` prints"
            );
        }
        let issuer = LeaseIssuer::new(keys, args.lease_issuer.clone(), args.lease_max.delta());
        Ok(Some(Self { file, issuer: Arc::new(issuer) }))
    }

    /// Who signs with them.
    pub(crate) fn issuer(&self) -> Arc<LeaseIssuer> {
        Arc::clone(&self.issuer)
    }

    /// Applies changes of the file.
    pub(crate) async fn follow(self, reloads: Reloads) -> Infallible {
        let Self { file, issuer } = self;
        let take = |keys| {
            issuer.replace(keys);
            // Not before: whoever reads the line may take it that they sign.
            tell(&issuer.keys());
        };
        file.follow(reloads, take).await
    }
}

/// Whoever reads it can sign leases for every tenant. Its group may: that is how files are handed to a
/// container.
fn is_private(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| format!("it cannot be looked at: {error}"))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(format!(
        "its mode is {mode:04o}, so that others may read or write it: take 0600, or 0640 with a group of its own"
    ))
}

/// Logs which key signs: what an operator who changes keys wants to see.
fn tell(keys: &LeaseKeys) {
    let (signs, published) = (keys.ids().next().unwrap_or_default(), keys.ids().len());
    tracing::info!(
        signs,
        published,
        "leases are signed with the key {signs}; keys published: {published}"
    );
}
