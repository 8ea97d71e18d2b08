//! Any number of keys, in requests that a server takes.

/// Keys of one request.
const MOST_KEYS: usize = 1_500;
/// Bytes of one request's keys: a server takes messages of 64 KiB.
const MOST_BYTES: usize = 48 * 1024;
/// What stands on the wire beside each key: its tag, and its length.
const BESIDE: usize = 3;

/// What there is among the keys after one and up to another, including that one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Range {
    /// Empty: from the first.
    pub(crate) after: String,
    /// Empty: to the last.
    pub(crate) up_to: String,
    pub(crate) keys: Vec<String>,
}

/// Ranges that hold these keys, each once, and together mean every key that there can be. Where there
/// is none, one range says so.
pub(crate) fn ranges(mut keys: Vec<String>) -> Vec<Range> {
    keys.sort_unstable();
    keys.dedup();
    let mut all = vec![Range::default()];
    let mut bytes = 0;
    for key in keys {
        let size = key.len() + BESIDE;
        if let Some(last) = all.last_mut()
            && (last.keys.len() == MOST_KEYS || bytes + size > MOST_BYTES)
        {
            last.up_to = last.keys.last().cloned().unwrap_or_default();
            let after = last.up_to.clone();
            all.push(Range { after, ..Range::default() });
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = all.last_mut() {
            last.keys.push(key);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize, width: usize) -> Vec<String> {
        (0..count).rev().map(|number| format!("{number:0width$}")).collect()
    }

    /// Does each range begin where the one before it ends, and hold nothing but its own?
    fn verify(ranges: &[Range]) {
        assert_eq!(ranges.first().unwrap().after, "");
        assert_eq!(ranges.last().unwrap().up_to, "");
        for pair in ranges.windows(2) {
            assert_eq!(pair[0].up_to, pair[1].after);
        }
        for Range { after, up_to, keys } in ranges {
            assert!(keys.is_sorted());
            assert!(keys.iter().all(|key| key > after && (up_to.is_empty() || key <= up_to)));
            assert!(keys.len() <= 1_500);
            let bytes: usize = keys.iter().map(|key| key.len() + BESIDE).sum();
            assert!(bytes <= MOST_BYTES, "{bytes}");
        }
    }

    #[test]
    fn nothing_is_one_range_over_everything() {
        assert_eq!(ranges(Vec::new()), [Range::default()]);
    }

    #[test]
    fn as_many_as_a_request_takes_are_one_range_and_one_more_are_two() {
        let one = ranges(numbered(1_500, 4));
        assert_eq!((one.len(), one[0].keys.len()), (1, 1_500));
        let two = ranges(numbered(1_501, 4));
        assert_eq!(two.iter().map(|range| range.keys.len()).collect::<Vec<_>>(), [1_500, 1]);
        assert_eq!(two[1].after, "1499");
        verify(&one);
        verify(&two);
    }

    #[test]
    fn long_keys_make_more_ranges() {
        let long = ranges(numbered(1_000, 128));
        assert!(long.len() > 2, "{}", long.len());
        assert_eq!(long.iter().map(|range| range.keys.len()).sum::<usize>(), 1_000);
        verify(&long);
    }

    #[test]
    fn a_key_that_comes_twice_is_one() {
        let twice = ["b", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(ranges(twice)[0].keys, ["a", "b"]);
    }
}
