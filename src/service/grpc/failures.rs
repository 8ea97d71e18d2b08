//! Requests that failed, summed up: a line a second, with an example and how many others there were
//! of each kind. The metrics count them all.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Code;

/// The minimum interval between two lines.
const EVERY: Duration = Duration::from_secs(1);
/// Codes of gRPC, from 0 on.
const CODES: usize = 17;

/// What has failed since the last line.
#[derive(Debug)]
pub(super) struct Failures(Mutex<State>);

/// Those that no line told of.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Others {
    /// How many.
    pub(super) count: u64,
    /// By kind, as in `4012 UNAVAILABLE, 3 INTERNAL`.
    pub(super) kinds: String,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    others: [u64; CODES],
}

impl Failures {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(State { last: None, others: [0; CODES] }))
    }

    /// Is this one to be logged? If so, the others since the last line.
    pub(super) fn admit(&self, code: Code, now: Instant) -> Option<Others> {
        let mut state = self.0.lock();
        if state.is_early(now) {
            if let Some(others) = state.others.get_mut(code as usize) {
                *others += 1;
            }
            return None;
        }
        state.last = Some(now);
        Some(state.take())
    }

    /// Those that no line has told of although it is time; `None`: there are none.
    pub(super) fn rest(&self, now: Instant) -> Option<Others> {
        let mut state = self.0.lock();
        if state.is_early(now) || state.others.iter().all(|others| *others == 0) {
            return None;
        }
        state.last = Some(now);
        Some(state.take())
    }
}

impl State {
    fn is_early(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now - last < EVERY)
    }

    fn take(&mut self) -> Others {
        let others = std::mem::replace(&mut self.others, [0; CODES]);
        let kinds = others.iter().zip(0..).filter(|(count, _)| **count > 0);
        let kinds = kinds.map(|(count, code)| format!("{count} {}", word(Code::from_i32(code))));
        Others { count: others.iter().sum(), kinds: kinds.collect::<Vec<_>>().join(", ") }
    }
}

/// As gRPC's documents and metrics have it: `UNAVAILABLE`.
fn word(code: Code) -> String {
    let name = format!("{code:?}");
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_uppercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_one_line_and_what_is_left_over_is_told_as_well() {
        let (failures, start) = (Failures::new(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let others = |count, kinds: &str| Some(Others { count, kinds: kinds.to_owned() });
        assert_eq!(failures.admit(Code::Unavailable, at(0)), others(0, ""));
        for _ in 0..3 {
            assert_eq!(failures.admit(Code::Unavailable, at(1)), None);
        }
        assert_eq!(failures.admit(Code::DeadlineExceeded, at(2)), None);
        assert_eq!(failures.rest(at(999)), None);
        assert_eq!(
            failures.admit(Code::Internal, at(1_000)),
            others(4, "1 DEADLINE_EXCEEDED, 3 UNAVAILABLE")
        );
        assert_eq!(failures.admit(Code::Internal, at(1_500)), None);
        assert_eq!(failures.rest(at(2_000)), others(1, "1 INTERNAL"));
        assert_eq!(failures.rest(at(3_000)), None);
    }
}
