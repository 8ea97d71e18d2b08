//! Files with keys that verify tokens.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{jwks, reload::Reloads, reloaded_files::ReloadedFiles};
use crate::{
    config::{TenantArgs, UnusableSetting},
    security::token::{HeldKeys, InvalidKeys, KeySet, Tokens},
};

/// A file of keys, and those that were read from it.
pub(crate) struct KeyFile {
    path: PathBuf,
    file: ReloadedFiles<KeySet>,
    keys: Arc<HeldKeys>,
}

/// Adds the keys in the files of the settings to those of the tokens.
pub(crate) fn open_all(
    args: &TenantArgs,
    tokens: &mut Tokens,
) -> Result<Vec<KeyFile>, UnusableSetting> {
    let mut all = Vec::new();
    if let Some(path) = &args.jwt_secret_file {
        all.push(KeyFile::open("--jwt-secret-file", path, KeySet::of_secret, tokens)?);
    }
    if let Some(path) = &args.jwks_file {
        let file = KeyFile::open("--jwks-file", path, KeySet::of_file, tokens)?;
        jwks::tell(&path.display(), file.keys.taken());
        all.push(file);
    }
    Ok(all)
}

impl KeyFile {
    fn open(
        setting: &'static str,
        path: &Path,
        read: fn(&[u8]) -> Result<KeySet, InvalidKeys>,
        tokens: &mut Tokens,
    ) -> Result<Self, UnusableSetting> {
        let parse = move |text: &[u8]| read(text).map_err(|error| format!("it {error}"));
        let (file, keys) = ReloadedFiles::open_file(setting, path.to_owned(), parse)?;
        Ok(Self { path: path.to_owned(), file, keys: tokens.hold(keys) })
    }

    /// Applies changes of the file: keys that are no longer in it verify nothing any more.
    pub(crate) async fn follow(self, reloads: Reloads) -> Infallible {
        let Self { path, file, keys } = self;
        let take = |new| {
            keys.replace(new);
            jwks::tell(&path.display(), keys.taken());
        };
        file.follow(reloads, take).await
    }
}
