//! How much is held of all that is to be held before anybody asks for it.

use crate::{
    cache::{Cache, HeldAhead},
    store::LoadTenant,
};

/// What was found when all tenants were looked through the last time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Holding {
    /// Nothing: none is held ahead.
    #[default]
    Used,
    /// It is not known which there are.
    Unlisted,
    /// They were looked through.
    Listed {
        /// So many could not be read, and were not held before either.
        unread: usize,
        /// For so many there is no room.
        beyond: usize,
        /// So many that were held ahead had made room for others by then.
        evictions: u64,
    },
}

impl Holding {
    /// Every word, for the metric.
    pub(crate) const WORDS: [&'static str; 4] = ["used", "unlisted", "some", "all"];

    /// How many tenants are not held, at least; `None`: that is not known, or does not matter.
    pub(crate) fn missing(self, cache: &Cache<impl LoadTenant>) -> Option<usize> {
        let Self::Listed { unread, beyond, evictions } = self else { return None };
        let has_evicted = cache.evictions_ahead() != evictions;
        Some((unread + beyond).max(usize::from(has_evicted)))
    }

    /// A word for it.
    pub(crate) fn word(self, cache: &Cache<impl LoadTenant>) -> &'static str {
        let [used, unlisted, some, all] = Self::WORDS;
        match (self, self.missing(cache)) {
            (Self::Used, _) => used,
            (_, None) => unlisted,
            (_, Some(0)) => all,
            (_, Some(_)) => some,
        }
    }

    /// The same as a sentence; `None`: none is held ahead.
    pub(crate) fn sentence(self, cache: &Cache<impl LoadTenant>) -> Option<String> {
        let (held, ahead) = (cache.len(), cache.held_ahead());
        Some(match (self, self.missing(cache), &*ahead) {
            (Self::Used, ..) => return None,
            (_, None, _) => format!("{held} tenants are held, of how many is not known yet"),
            (_, Some(0), HeldAhead::OfModules(_)) => {
                format!("{held} tenants are held, among them all that have one of the modules")
            }
            (_, Some(0), _) => format!("all {held} tenants are held"),
            (_, Some(missing), HeldAhead::OfModules(_)) => {
                format!(
                    "{held} tenants are held, and {missing} or more may be missing of those that have one of the modules"
                )
            }
            (_, Some(missing), _) => {
                format!("{held} of at least {} tenants are held", held + missing)
            }
        })
    }
}
