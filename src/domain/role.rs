//! What administrators may do.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// What an administrator may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Look at everything, change nothing.
    Viewer,
    /// Change tenants: their status, modules and plans.
    Operator,
    /// Everything, including what cannot be undone.
    Owner,
}

impl Role {
    /// All roles, from the least to the most powerful.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Owner];

    /// Its name in files and flags.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The text is not the name of a role.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("expected viewer, operator or owner")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.word() == word).ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_more_than_the_one_before_and_has_a_word_of_its_own() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.word().parse(), Ok(role));
        }
        assert_eq!("Owner".parse::<Role>(), Err(UnknownRole));
    }
}
