//! How good what is held is: the one order of what makes an answer worse.

use super::FeedState;

/// How good facts are that are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// They are what the database says, and no older than was promised: served at once.
    Proven,
    /// They were, and changes have not been received since: served at once, marked as stale. A load
    /// would only wait for a database that does not answer.
    Unproven,
    /// They are read again first. Where that fails they are served, marked as stale, unless they are
    /// older than `--max-stale`.
    Doubtful,
}

impl Standing {
    /// By what is known, the worst first. `is_current`: no change of them is known. `is_young`: they
    /// were read within `--cache-ttl`. `is_bearable`: the database vouched for them within
    /// `--max-stale`. The table in docs/freshness.md says the same.
    #[inline]
    pub(super) fn of(
        is_current: bool,
        feed: FeedState,
        is_young: impl FnOnce() -> bool,
        is_bearable: impl FnOnce() -> bool,
    ) -> Self {
        match feed {
            _ if !is_current => Self::Doubtful,
            FeedState::Suspect if is_bearable() => Self::Unproven,
            FeedState::Suspect => Self::Doubtful,
            FeedState::Off if !is_young() => Self::Doubtful,
            FeedState::Off | FeedState::Live => Self::Proven,
        }
    }

    #[cfg(test)]
    const fn words(self) -> &'static str {
        match self {
            Self::Proven => "at once",
            Self::Unproven => "at once, marked",
            Self::Doubtful => {
                "read again first; where that fails: marked while within `--max-stale`, then UNAVAILABLE"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held, what is known of changes, and how old it is, as the document puts it.
    fn words(
        is_current: bool,
        feed: FeedState,
        is_young: bool,
        is_bearable: bool,
    ) -> [&'static str; 3] {
        if !is_current {
            return ["has changed since", "any", "any"];
        }
        let (changes, age) = match feed {
            FeedState::Live => ("are received", "any"),
            FeedState::Suspect if is_bearable => {
                ("cannot be received", "proven within `--max-stale`")
            }
            FeedState::Suspect => ("cannot be received", "older"),
            FeedState::Off if is_young => ("are off", "read within `--cache-ttl`"),
            FeedState::Off => ("are off", "older"),
        };
        ["as far as is known", changes, age]
    }

    #[test]
    fn the_document_has_a_line_for_each_case_and_no_other() {
        let document = include_str!("../../docs/freshness.md");
        let mut lines = std::collections::BTreeSet::new();
        for case in 0..8 {
            let [is_current, is_young, is_bearable] = [1, 2, 4].map(|bit| case & bit != 0);
            for feed in [FeedState::Live, FeedState::Suspect, FeedState::Off] {
                let standing = Standing::of(is_current, feed, || is_young, || is_bearable);
                let [held, changes, age] = words(is_current, feed, is_young, is_bearable);
                lines.insert(format!("| {held} | {changes} | {age} | {} |", standing.words()));
            }
        }
        for line in &lines {
            assert!(document.contains(line), "docs/freshness.md has no line {line}");
        }
        let heading = "| what is held | changes | its age | the answer |\n|---|---|---|---|\n";
        let (_, table) = document.split_once(heading).unwrap();
        assert_eq!(table.lines().take_while(|line| line.starts_with('|')).count(), lines.len());
    }
}
