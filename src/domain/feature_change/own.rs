//! What single tenants have of their own.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{FeatureName, known, not_of_type};
use crate::domain::{Catalogue, Setting, Violation};

/// A tenant's own flag for a feature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnFlag {
    /// Is it on?
    pub is_on: bool,
    /// Its value; `None`: it has none of its own.
    pub value: Option<Setting>,
}

/// What a tenant has instead of the limit of its plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnLimit {
    /// The limit; `None`: unlimited.
    pub limit: Option<i64>,
    /// When it ends, exclusive; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
    /// Why the tenant has it; may be empty.
    pub reason: String,
}

/// The time zone that a tenant's months are to be in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeZoneEdit {
    /// The zone; `None`: that of the servers.
    pub zone: Option<Tz>,
    /// That of the servers.
    pub servers: Tz,
}

/// A change of what a tenant has of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OwnEdit {
    /// It has this flag.
    SetFlag(FeatureName, OwnFlag),
    /// It has no flag for this feature.
    DeleteFlag(FeatureName),
    /// It has this limit, with this key.
    SetLimit(String, OwnLimit),
    /// It has no limit of its own with this key.
    EndLimit(String),
    /// It has what its plan says now about this feature, and not what that said before.
    EndKeptFeature(FeatureName),
    /// It has what its plan allows now of the limit with this key, and not what that allowed before.
    EndKeptLimit(String),
    /// Its months are in this time zone, from the next on.
    SetTimeZone(TimeZoneEdit),
}

impl OwnEdit {
    /// Everything that is wrong with it. `has_it`: does the tenant have what is to be taken away?
    pub fn violations(
        &self,
        catalogue: &Catalogue,
        has_it: bool,
        at: DateTime<Utc>,
    ) -> Vec<Violation> {
        let knows_limit = |key: &str| catalogue.definitions().limit(key).is_some();
        match self {
            Self::SetFlag(name, flag) => match known(catalogue, name) {
                Err(unknown) => vec![unknown],
                Ok((_, defined)) => {
                    let (whose, takes) = ("the flag".to_owned(), defined.value_type);
                    not_of_type(name, whose, flag.value.as_ref(), takes).into_iter().collect()
                }
            },
            Self::SetTimeZone(_) => Vec::new(),
            Self::DeleteFlag(_)
            | Self::EndLimit(_)
            | Self::EndKeptFeature(_)
            | Self::EndKeptLimit(_)
                if has_it =>
            {
                Vec::new()
            }
            Self::DeleteFlag(name) | Self::EndKeptFeature(name) => {
                known(catalogue, name).err().into_iter().collect()
            }
            Self::EndLimit(key) | Self::EndKeptLimit(key) if knows_limit(key) => Vec::new(),
            Self::EndLimit(key) | Self::EndKeptLimit(key) => {
                vec![Violation::UnknownLimit(key.clone())]
            }
            Self::SetLimit(key, OwnLimit { limit, ends_at, .. }) => {
                let unknown = (!knows_limit(key)).then(|| Violation::UnknownLimit(key.clone()));
                let is_negative = limit.is_some_and(|limit| limit < 0);
                let negative = is_negative.then(|| Violation::NegativeLimit(key.clone()));
                let past = ends_at.is_some_and(|end| end <= at);
                let past = past.then_some(Violation::Past("ends_at"));
                [unknown, negative, past].into_iter().flatten().collect()
            }
        }
    }
}
