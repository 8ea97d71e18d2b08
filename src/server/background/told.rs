//! What lasts is logged when it begins, once a minute while it does, and when it ends.

use std::time::Duration;

use tokio::time::Instant;

use super::condition::Condition;
use crate::cache::Tally;

/// How often something is said that lasts.
const EVERY: Duration = Duration::from_mins(1);

/// What was said last, and since when that is so.
#[derive(Debug, Default)]
pub(super) struct Repeated(Option<Told>);

#[derive(Debug)]
struct Told {
    what: String,
    since: Instant,
    last: Instant,
}

impl Repeated {
    /// Has nothing been said yet?
    pub(super) fn is_new(&self) -> bool {
        self.0.is_none()
    }

    /// Is this to be said? If so, how long it has lasted.
    pub(super) fn is_due(&mut self, what: &str, now: Instant) -> Option<Duration> {
        match &mut self.0 {
            Some(told) if told.what == what => {
                if now - told.last < EVERY {
                    return None;
                }
                told.last = now;
                Some(now - told.since)
            }
            _ => {
                self.0 = Some(Told { what: what.to_owned(), since: now, last: now });
                Some(Duration::ZERO)
            }
        }
    }
}

/// The condition that was told, and what had been counted when it began.
#[derive(Debug, Default)]
pub(super) struct Said {
    before: Option<Condition>,
    lasting: Repeated,
    began: Option<Began>,
}

/// When everything ceased to be well.
#[derive(Clone, Copy, Debug)]
struct Began {
    at: Instant,
    counted: Counted,
}

impl Began {
    /// How many seconds ago that was, and what has been counted since.
    fn since(self, counted: Counted, now: Instant) -> (u64, Counted) {
        ((now - self.at).as_secs(), counted.since(self.counted))
    }
}

/// Answers that were marked as stale, and reads of the database that failed.
#[derive(Clone, Copy, Debug)]
struct Counted {
    stale: u64,
    failed: u64,
}

impl Counted {
    fn of(tally: &Tally) -> Self {
        Self { stale: tally.stale.get(), failed: tally.load_errors.get() }
    }

    fn since(self, before: Self) -> Self {
        Self { stale: self.stale - before.stale, failed: self.failed - before.failed }
    }
}

impl Said {
    /// Logs a condition, if it is new or has lasted for another minute. Is it new?
    pub(super) fn tell(&mut self, condition: &Condition, tally: &Tally, now: Instant) -> bool {
        let is_new = self.before.as_ref() != Some(condition);
        if self.lasting.is_due(&condition.to_string(), now).is_some() {
            self.log(condition, Counted::of(tally), is_new, now);
        }
        if is_new {
            self.before = Some(condition.clone());
        }
        is_new
    }

    fn log(&mut self, condition: &Condition, counted: Counted, is_new: bool, now: Instant) {
        let Some(trouble) = condition.trouble() else {
            match self.began.take() {
                Some(began) => {
                    let (seconds, Counted { stale, failed }) = began.since(counted, now);
                    tracing::info!(
                        seconds,
                        stale,
                        failed,
                        "ready again, after {seconds} s with {stale} stale answers and {failed} failed loads"
                    );
                }
                None if is_new => tracing::info!("ready"),
                None => {}
            }
            return;
        };
        let began = *self.began.get_or_insert(Began { at: now, counted });
        let (seconds, Counted { stale, failed }) = began.since(counted, now);
        let cause = trouble.cause.word();
        let so_far = if is_new {
            String::new()
        } else {
            format!(", {seconds} s so far with {stale} stale answers and {failed} failed loads")
        };
        match condition {
            Condition::Unready(_) => {
                tracing::error!(cause, seconds, stale, failed, "not serving, {condition}{so_far}");
            }
            Condition::Ready | Condition::Degraded(_) => {
                tracing::warn!(cause, seconds, stale, failed, "serving, but {condition}{so_far}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_when_it_begins_and_once_a_minute() {
        let (mut told, start) = (Repeated::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(told.is_due("down", at(0)), Some(Duration::ZERO));
        assert_eq!(told.is_due("down", at(59)), None);
        assert_eq!(told.is_due("down", at(60)), Some(EVERY));
        assert_eq!(told.is_due("down", at(61)), None);
        assert_eq!(told.is_due("up", at(62)), Some(Duration::ZERO));
        assert_eq!(told.is_due("down", at(63)), Some(Duration::ZERO));
    }
}
