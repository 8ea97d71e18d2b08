//! What an address is used for, and how it is taken into use.

use crate::{
    cache::FeedState,
    config::DatabaseUrl,
    server::database::{Opening, connect_options},
    service::Core,
    store::{ConnectOptions, Exchanges},
};

/// Where something is, and the CA certificates that the certificate of its server must descend from.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Address<T> {
    pub(super) to: T,
    pub(super) ca: Option<Vec<u8>>,
}

/// The database.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct ToLoad(pub(super) DatabaseUrl);

/// The primary, where the database's own address leads to a replica.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct ToPrimary(pub(super) DatabaseUrl);

/// Where changes are listened to.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct ToListen(pub(super) DatabaseUrl);

/// The replicas.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct ToReplicas {
    pub(super) urls: Vec<DatabaseUrl>,
    /// Does the file say that there are none?
    pub(super) none_meant: bool,
}

/// The trial of an address, again and again until it works.
pub(super) struct Trial<'a> {
    opening: &'a Opening,
    core: &'a Core,
    /// What the trials so far have cost.
    exchanges: Exchanges,
}

impl<'a> Trial<'a> {
    /// Of one that has not been tried.
    pub(super) fn new(opening: &'a Opening, core: &'a Core) -> Self {
        Self { opening, core, exchanges: Exchanges::default() }
    }
}

/// What an address is used for.
pub(super) trait Target: Clone + Eq + Send + Sync + 'static {
    /// The flag that has it.
    const FLAG: &'static str;
    /// The flag that names its file.
    const FILE: &'static str;
    /// The same, with the one that names the CA certificates.
    const FILES: &'static str;

    /// Reads a file.
    fn in_file(text: &str) -> Result<Self, String>;

    /// Uses an address from now on, and says what that means. If it cannot be used, says why, and the
    /// present one stays in use.
    fn take(
        wanted: &Address<Self>,
        trial: &mut Trial<'_>,
    ) -> impl Future<Output = Result<String, String>> + Send;
}

impl Target for ToLoad {
    const FLAG: &'static str = "--database-url";
    const FILE: &'static str = "--database-url-file";
    const FILES: &'static str = "--database-url-file or --database-ca-file";

    fn in_file(text: &str) -> Result<Self, String> {
        DatabaseUrl::in_file(text).map(Self)
    }

    async fn take(wanted: &Address<Self>, trial: &mut Trial<'_>) -> Result<String, String> {
        let Trial { opening, core, exchanges } = trial;
        let Address { to: Self(url), ca } = wanted;
        let options = connect_options(opening, url, ca.as_deref());
        if core.store.is_on_replica() {
            let moved = core.store.move_replica_to(&options, exchanges).await;
            moved.map_err(|error| format!("{url} {error}"))?;
            return Ok(taken(url));
        }
        let moving = core.store.prepare_to_move(&options, exchanges).await;
        let suspect_what_is_held = || {
            // Without a feed nothing would end that but the next sign of life.
            if core.api.cache.feed() == FeedState::Live {
                core.api.cache.suspect();
            }
        };
        // Held facts are of the other one, and the feed resets nothing where it reads no log.
        let read_it_again = || core.api.cache.reset(core.api.clock.now());
        moving
            .map_err(|error| format!("{url} {error}"))?
            .commit(suspect_what_is_held, read_it_again);
        Ok(taken(url))
    }
}

fn taken(url: &DatabaseUrl) -> String {
    format!("new connections lead to {url}, and others are closed once they are free")
}

impl Target for ToPrimary {
    const FLAG: &'static str = "--primary-database-url";
    const FILE: &'static str = "--primary-database-url-file";
    const FILES: &'static str = "--primary-database-url-file or --database-ca-file";

    fn in_file(text: &str) -> Result<Self, String> {
        DatabaseUrl::in_file(text).map(Self)
    }

    async fn take(wanted: &Address<Self>, trial: &mut Trial<'_>) -> Result<String, String> {
        let Trial { opening, core, exchanges } = trial;
        let Address { to: Self(url), ca } = wanted;
        let options = connect_options(opening, url, ca.as_deref());
        let moving = core.store.prepare_to_move(&options, exchanges).await;
        // What is held is of the replica, which is compared with this one from now on.
        moving.map_err(|error| format!("{url} {error}"))?.commit(|| {}, || {});
        Ok(taken(url))
    }
}

impl Target for ToListen {
    const FLAG: &'static str = "--listen-database-url";
    const FILE: &'static str = "--listen-database-url-file";
    const FILES: &'static str = "--listen-database-url-file or --database-ca-file";

    fn in_file(text: &str) -> Result<Self, String> {
        DatabaseUrl::in_file(text).map(Self)
    }

    async fn take(
        wanted: &Address<Self>,
        Trial { opening, core, .. }: &mut Trial<'_>,
    ) -> Result<String, String> {
        let moved = core.store.move_listening_to(&wanted.options(opening)).await;
        moved.map_err(|error| format!("{} {error}", wanted.to.0))?;
        Ok(format!("changes are listened to at {}", wanted.to.0))
    }
}

impl Target for ToReplicas {
    const FLAG: &'static str = "--replica-database-url";
    const FILE: &'static str = "--replica-database-url-file";
    const FILES: &'static str = "--replica-database-url-file or --database-ca-file";

    fn in_file(text: &str) -> Result<Self, String> {
        let none_meant = DatabaseUrl::are_none_meant(text);
        Ok(Self { urls: DatabaseUrl::all_in_file(text), none_meant })
    }

    async fn take(
        wanted: &Address<Self>,
        Trial { opening, core, .. }: &mut Trial<'_>,
    ) -> Result<String, String> {
        let ToReplicas { urls, none_meant } = &wanted.to;
        let [present, _] = core.store.replicas();
        // What has lost all of its lines was cut off.
        if urls.is_empty() && present > 0 && !none_meant {
            return Err("holds no URL any more; a line that says # none would mean it".to_owned());
        }
        let set = core.store.set_replicas(&wanted.options_of_all(opening)).await;
        set.map_err(|error| format!("has a URL that {error}"))?;
        let all: Vec<String> = urls.iter().map(ToString::to_string).collect();
        Ok(match all.as_slice() {
            [] => "there are no replicas".to_owned(),
            _ => format!("the replicas are {}", all.join(", ")),
        })
    }
}

impl Address<ToListen> {
    pub(super) fn options(&self, opening: &Opening) -> ConnectOptions<'_> {
        connect_options(opening, &self.to.0, self.ca.as_deref())
    }
}

impl Address<ToReplicas> {
    pub(super) fn options_of_all(&self, opening: &Opening) -> Vec<ConnectOptions<'_>> {
        let options = |url| connect_options(opening, url, self.ca.as_deref());
        self.to.urls.iter().map(options).collect()
    }
}
