//! Where the database, what listens to it and its replicas are: followed where files say it, with the
//! CA certificates of their servers.

mod target;

use std::{convert::Infallible, path::PathBuf, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::{Instant, sleep};

use self::target::{Address, Target, ToListen, ToLoad, ToPrimary, ToReplicas, Trial};
use super::{
    reload::{Reload, Reloads},
    reloaded_files::ReloadedFiles,
    told::Repeated,
};
use crate::{
    config::{ChangesMode, DatabaseUrl, ServeArgs, UnusableSetting},
    server::{
        database::{Opening, connect_options, open_at, unusable},
        read_file,
    },
    service::Core,
    store::{ConnectError, Store},
};

/// What does not work is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the settings and their files say, and what is to be followed.
pub(crate) struct Addresses {
    database: Followed<ToLoad>,
    listen: Option<Followed<ToListen>>,
    replicas: Option<Followed<ToReplicas>>,
    /// Where the database's own address leads to a replica.
    primary: Option<Followed<ToPrimary>>,
}

/// An address that is in effect, and the files that may say another one.
struct Followed<T> {
    files: ReloadedFiles<Address<T>>,
    present: Address<T>,
}

impl Addresses {
    /// Reads the files for the first time.
    pub(crate) fn open(args: &ServeArgs) -> Result<Self, UnusableSetting> {
        let ServeArgs { database, pool, changes, .. } = args;
        let ca = database.database_ca_file.as_ref();
        if let Some(path) = ca {
            // So that the error is about this flag alone.
            read_file("--database-ca-file", path)?;
        }
        let load = ToLoad(database.given_url());
        let database = Followed::open(load, database.database_url_file.as_ref(), ca)?;
        let listen = match (&changes.listen_database_url, &changes.listen_database_url_file) {
            (None, None) => None,
            (given, file) => {
                let given = ToListen(given.clone().unwrap_or_default());
                Some(Followed::open(given, file.as_ref(), ca)?)
            }
        };
        let replicas = match (&pool.replica_database_url[..], &pool.replica_database_url_file) {
            ([], None) => None,
            (given, file) => {
                let given = ToReplicas { urls: given.to_vec(), none_meant: false };
                Some(Followed::open(given, file.as_ref(), ca)?)
            }
        };
        let primary = match (&pool.primary_database_url, &pool.primary_database_url_file) {
            (None, None) => None,
            (given, file) => {
                needs_changes(changes.changes)?;
                let given = ToPrimary(given.clone().unwrap_or_default());
                Some(Followed::open(given, file.as_ref(), ca)?)
            }
        };
        Ok(Self { database, listen, replicas, primary })
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> &DatabaseUrl {
        &self.database.present.to.0
    }

    /// Opens the database at these addresses. None of them is tried.
    pub(crate) async fn open_store(&self, opening: &Opening) -> Result<Store, UnusableSetting> {
        let Address { to: ToLoad(url), ca } = &self.database.present;
        let Some(primary) = &self.primary else {
            let store = open_at(url, ca.as_deref(), self.database.setting(), opening).await?;
            return self.with_others(store, opening).await;
        };
        let Address { to: ToPrimary(at), ca: of_primary } = &primary.present;
        if at.is_sqlite() {
            return Err(unusable(primary.setting(), at, ConnectError::NoReplicas));
        }
        let store = open_at(at, of_primary.as_deref(), primary.setting(), opening).await?;
        let on_replica = store.on_replica(&connect_options(opening, url, ca.as_deref()));
        on_replica.map_err(|error| unusable(self.database.setting(), url, error))
    }

    async fn with_others(&self, store: Store, opening: &Opening) -> Result<Store, UnusableSetting> {
        if let Some(listen) = &self.listen {
            let set = store.set_address_to_listen(&listen.present.options(opening));
            set.map_err(|error| UnusableSetting::new(listen.setting(), error))?;
        }
        if let Some(replicas) = &self.replicas {
            let set = store.set_replicas(&replicas.present.options_of_all(opening)).await;
            set.map_err(|error| {
                UnusableSetting::new(replicas.setting(), format!("has a URL that {error}"))
            })?;
        }
        Ok(store)
    }

    /// Follows the files, each by itself.
    pub(crate) fn follow(
        self,
        opening: Opening,
        core: &Core,
        reload: &Reload,
    ) -> Vec<BoxFuture<'static, Infallible>> {
        let Self { database, listen, replicas, primary } = self;
        let core = || core.clone();
        let mut all = vec![database.follow(opening, core(), reload.heard()).boxed()];
        all.extend(listen.map(|listen| listen.follow(opening, core(), reload.heard()).boxed()));
        let replicas = replicas.map(|all| all.follow(opening, core(), reload.heard()).boxed());
        all.extend(replicas);
        let primary = primary.map(|it| it.follow(opening, core(), reload.heard()).boxed());
        all.extend(primary);
        all
    }
}

/// How old a replica is can only be told while its log is read, and it announces nothing.
fn needs_changes(mode: ChangesMode) -> Result<(), UnusableSetting> {
    let problem = match mode {
        ChangesMode::Auto | ChangesMode::Poll => return Ok(()),
        ChangesMode::Listen => {
            "is listen: with --primary-database-url changes are polled, for a replica announces none"
        }
        ChangesMode::Off => {
            "is off: with --primary-database-url changes are needed, for nobody knows otherwise how old a replica is"
        }
    };
    Err(UnusableSetting::new("--changes", problem))
}

impl<T: Target> Followed<T> {
    /// `given` counts where there is no file.
    fn open(
        given: T,
        file: Option<&PathBuf>,
        ca: Option<&PathBuf>,
    ) -> Result<Self, UnusableSetting> {
        let is_in_file = file.is_some();
        let paths = file.into_iter().chain(ca).cloned().collect();
        let parse = move |texts: &[Vec<u8>]| {
            let (file, ca) = match texts {
                [file, rest @ ..] if is_in_file => (Some(file), rest.first()),
                rest => (None, rest.first()),
            };
            let to = match file {
                Some(text) => T::in_file(str::from_utf8(text).map_err(|_| "it is no text")?)?,
                None => given.clone(),
            };
            Ok(Address { to, ca: ca.cloned() })
        };
        let setting = match (is_in_file, ca) {
            (true, Some(_)) => T::FILES,
            (true, None) => T::FILE,
            (false, Some(_)) => "--database-ca-file",
            (false, None) => T::FLAG,
        };
        let (files, present) = ReloadedFiles::open(setting, paths, parse)?;
        Ok(Self { files, present })
    }

    fn setting(&self) -> &'static str {
        self.files.setting()
    }

    /// Uses what the files say, once they say something else and that works.
    async fn follow(mut self, opening: Opening, core: Core, mut reloads: Reloads) -> Infallible {
        let setting = self.setting();
        let mut wanted: Option<Address<T>> = None;
        loop {
            let heard = reloads.clone();
            tokio::select! {
                newer = self.files.next(&mut reloads) => {
                    wanted = Some(newer).filter(|newer| *newer != self.present);
                    if wanted.is_none() {
                        tracing::info!(setting, "{setting} is what it was, which is in effect");
                    }
                }
                () = until_it_works(setting, wanted.as_ref(), Trial::new(&opening, &core), heard) => {
                    self.present = wanted.take().unwrap_or(self.present);
                }
            }
        }
    }
}

/// Tries to use an address until that works. Never returns if there is none.
async fn until_it_works<T: Target>(
    setting: &str,
    wanted: Option<&Address<T>>,
    mut trial: Trial<'_>,
    mut reloads: Reloads,
) {
    let Some(wanted) = wanted else { return std::future::pending().await };
    let mut complaint = Repeated::default();
    loop {
        match T::take(wanted, &mut trial).await {
            Ok(effect) => {
                tracing::info!(
                    setting,
                    "{setting} has changed, and is in effect from now on: {effect}"
                );
                return;
            }
            Err(problem) => {
                if complaint.is_due(&problem, Instant::now()).is_some() {
                    tracing::error!(
                        setting,
                        "{setting} has changed, and {problem}; the previous contents stay in effect, and these are tried again"
                    );
                }
            }
        }
        tokio::select! {
            () = sleep(TRY_AGAIN) => {}
            () = reloads.next() => complaint = Repeated::default(),
        }
    }
}
