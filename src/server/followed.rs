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
use crate::{observability::decision_log::DecisionLog, security::callers::Callers, service::Api};

/// What reads it, and never ends.
pub(super) type Sources = FuturesUnordered<BoxFuture<'static, Infallible>>;

/// Files and URLs that were read once.
pub(super) struct Followed {
    pub(super) addresses: Addresses,
    pub(super) tls: Option<TlsFiles>,
    pub(super) callers: Option<ReloadedFiles<Callers>>,
    pub(super) keys: Vec<KeyFile>,
    pub(super) lease_keys: Option<LeaseKeysFile>,
    pub(super) fetchers: Fetchers,
    pub(super) routes: Option<RoutesFile>,
    pub(super) template: Option<PathBuf>,
}

impl Followed {
    /// Reads them again and again, whenever that is due or asked for.
    pub(super) fn by(self, api: &Api, opening: Opening, reload: &Reload) -> Sources {
        let Self { addresses, tls, callers, keys, lease_keys, fetchers, routes, template } = self;
        let heard = || reload.heard();
        let mut all = Sources::new();
        all.extend(addresses.follow(opening, api, reload));
        all.extend(tls.map(|files| files.follow(heard()).boxed()));
        all.extend(callers.map(|file| follow_callers(file, heard(), api.callers.clone()).boxed()));
        all.extend(keys.into_iter().map(|file| file.follow(heard()).boxed()));
        all.extend(lease_keys.map(|file| file.follow(heard()).boxed()));
        all.extend(fetchers.follow(reload));
        let gateway = api.gateway.clone();
        all.extend(routes.map(|file| file.follow(heard(), gateway).boxed()));
        let store = api.store.clone();
        all.extend(template.map(|folder| template::follow(folder, heard(), store).boxed()));
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
