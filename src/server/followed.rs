//! Everything that is read again while a server runs.

use std::{convert::Infallible, path::PathBuf};

use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};

use super::{
    background::{
        addresses::Addresses,
        jwks::Fetchers,
        key_files::KeyFile,
        reload::{Reload, Reloads},
        reloaded_files::ReloadedFiles,
    },
    database::Opening,
    gateway::RoutesFile,
    lease_keys::LeaseKeysFile,
    security::{TlsFiles, follow_callers},
    template,
};
use crate::{
    observability::decision_log::DecisionLog,
    security::callers::Callers,
    service::{Api, Core},
};

/// What reads it, and never ends.
pub(super) type Sources = FuturesUnordered<BoxFuture<'static, Infallible>>;

/// Files and URLs that were read once.
pub(super) struct Followed {
    /// What leads to the database, where there is one.
    pub(super) database: Option<FollowedDatabase>,
    pub(super) tls: Option<TlsFiles>,
    pub(super) callers: Option<ReloadedFiles<Callers>>,
    pub(super) keys: Vec<KeyFile>,
    pub(super) lease_keys: Option<LeaseKeysFile>,
    pub(super) fetchers: Fetchers,
    pub(super) routes: Option<RoutesFile>,
}

/// What leads to the database, and what is put into it.
pub(super) struct FollowedDatabase {
    pub(super) core: Core,
    pub(super) addresses: Addresses,
    pub(super) opening: Opening,
    pub(super) template: Option<PathBuf>,
}

impl Followed {
    /// Reads them again and again, whenever that is due or asked for.
    pub(super) fn by(self, api: &Api, reload: &Reload) -> Sources {
        let Self { database, tls, callers, keys, lease_keys, fetchers, routes } = self;
        let heard = || reload.heard();
        let mut all = Sources::new();
        if let Some(FollowedDatabase { core, addresses, opening, template }) = database {
            all.extend(addresses.follow(opening, &core, reload));
            let follow = |folder| template::follow(folder, heard(), core.store).boxed();
            all.extend(template.map(follow));
        }
        all.extend(tls.map(|files| files.follow(heard()).boxed()));
        all.extend(callers.map(|file| follow_callers(file, heard(), api.callers.clone()).boxed()));
        all.extend(keys.into_iter().map(|file| file.follow(heard()).boxed()));
        all.extend(lease_keys.map(|file| file.follow(heard()).boxed()));
        all.extend(fetchers.follow(reload));
        let gateway = api.gateway.clone();
        all.extend(routes.map(|file| file.follow(heard(), gateway).boxed()));
        all.extend(api.decision_log.clone().map(|log| reopen(log, heard()).boxed()));
        all
    }
}

/// Opens the decision log again whenever that is asked for.
async fn reopen(log: DecisionLog, mut reloads: Reloads) -> Infallible {
    loop {
        reloads.next().await;
        log.reopen();
    }
}
