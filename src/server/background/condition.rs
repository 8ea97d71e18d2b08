//! What a server says of itself.

use std::fmt;

use crate::store::StoreError;

/// The state of the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    /// Everything is as it should be.
    Ready,
    /// It answers, but something needs attention.
    Degraded(Trouble),
    /// It should not receive requests.
    Unready(Trouble),
}

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) cause: Cause,
    /// In words, without the database's own.
    pub(crate) text: String,
}

/// A word for what is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    Starting,
    Stopping,
    /// Something is missing in the database: migrate it.
    Schema,
    /// The role may not do something.
    Rights,
    /// The database does not answer, or cannot be reached.
    Silent,
    /// It does not answer in time: a lock, or too much to do.
    Slow,
    /// There are not enough connections.
    Connections,
    /// Triggers of the log are missing.
    Unarmed,
    /// Changes are polled, although they should be listened to.
    Polling,
}

impl Cause {
    /// Every word, for the metric.
    pub(crate) const WORDS: [&'static str; 9] = [
        "starting",
        "stopping",
        "schema",
        "rights",
        "silent",
        "slow",
        "connections",
        "unarmed",
        "polling",
    ];

    /// As metrics, logs and `/readyz` have it.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// Why a reading of the database failed.
    pub(crate) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Forbidden(_) => Self::Rights,
            StoreError::Rejected(_)
            | StoreError::MissingColumns(_)
            | StoreError::Unreadable { .. } => Self::Schema,
            StoreError::TimedOut => Self::Slow,
            StoreError::PoolExhausted => Self::Connections,
            StoreError::Unavailable(_) | StoreError::NoConnection(_)
                if error.is_for_want_of_connections() =>
            {
                Self::Connections
            }
            StoreError::Unavailable(_) if error.is_for_want_of_time() => Self::Slow,
            StoreError::Unavailable(_)
            | StoreError::NoConnection(_)
            | StoreError::ListenerLost
            | StoreError::ListensElsewhere
            | StoreError::PrimaryAway(_)
            | StoreError::Unproven
            | StoreError::Upstream(_) => Self::Silent,
        }
    }

    /// What that means for who reads of it.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Starting => "the server is starting",
            Self::Stopping => "it is stopping",
            Self::Schema => "the database rejects the statement",
            Self::Rights => "the database's role may not do it",
            Self::Silent => "the database cannot be reached, or fails",
            Self::Slow => {
                "the database does not answer in time: see pg_locks, and what it is busy with"
            }
            Self::Connections => "there are not enough connections",
            Self::Unarmed => "triggers of the change log are missing",
            Self::Polling => "changes are polled",
        }
    }
}

impl Trouble {
    pub(crate) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }
}

impl Condition {
    /// `ready`, `degraded` or `unready`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded(_) => "degraded",
            Self::Unready(_) => "unready",
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Ready => None,
            Self::Degraded(trouble) | Self::Unready(trouble) => Some(trouble),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        self.trouble().map_or(Ok(()), |Trouble { text, .. }| write!(f, ": {text}"))
    }
}
