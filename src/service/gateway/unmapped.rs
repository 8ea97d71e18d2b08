//! The paths that no rule covers, as the decision log names them.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::routes::{REST, outline};

/// Maximum number of paths that are told apart at a time, of 200 bytes at most.
const MAX_PATHS: usize = 1000;

/// After this time others are told apart: somebody who tries thousands of paths must not hide those
/// of the next day.
const REMEMBER: TimeDelta = TimeDelta::hours(1);

/// The paths that are told apart.
#[derive(Debug, Default)]
pub(crate) struct UnmappedPaths(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    since: DateTime<Utc>,
    paths: HashSet<Box<str>>,
}

impl UnmappedPaths {
    /// A request's path without ids, names, secrets and query; `/**` if there are too many others.
    pub(in crate::service) fn name(&self, target: &str, now: DateTime<Utc>) -> String {
        let path = outline(target);
        let mut seen = self.0.lock();
        if (now - seen.since).abs() >= REMEMBER {
            *seen = Seen { since: now, paths: HashSet::new() };
        }
        if !seen.paths.contains(path.as_str()) {
            if seen.paths.len() >= MAX_PATHS {
                return REST.to_owned();
            }
            seen.paths.insert(path.as_str().into());
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_paths_are_told_apart_than_there_is_room_for_until_it_is_made() {
        let (paths, now) = (UnmappedPaths::default(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let word = |mut number: usize| {
            let mut word = String::new();
            for _ in 0..3 {
                word.push_str(
                    ["ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du"][number % 10],
                );
                number /= 10;
            }
            format!("/{word}")
        };
        for number in 0..MAX_PATHS {
            assert_eq!(paths.name(&word(number), now), word(number));
        }
        assert_eq!(paths.name("/late?secret=1", now), "/**");
        assert_eq!(paths.name(&word(7), now), word(7));
        assert_eq!(paths.name("/late?secret=1", now + REMEMBER), "/late");
    }
}
