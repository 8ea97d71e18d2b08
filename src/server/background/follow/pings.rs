//! Pings, and when each was sent.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::{
    clock::{Clock, Uptime},
    proto::replication::{FollowFactsRequest, Position},
};

/// Pings that were not answered yet, at most. With more, the stream has been silent for longer than it
/// is waited for.
const MAX_UNANSWERED: usize = 16;

/// When a ping was sent, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) time: DateTime<Utc>,
    pub(super) at: Uptime,
}

/// The pings of one stream.
#[derive(Debug)]
pub(super) struct Pings {
    sender: mpsc::Sender<FollowFactsRequest>,
    sent: VecDeque<(u64, Sent)>,
    last: u64,
}

impl Pings {
    /// The first, which opens a stream, and what is to be sent.
    pub(super) fn begin(
        position: Option<Position>,
        clock: &Clock,
    ) -> (Self, mpsc::Receiver<FollowFactsRequest>) {
        let (sender, receiver) = mpsc::channel(MAX_UNANSWERED);
        let mut pings = Self { sender, sent: VecDeque::new(), last: 0 };
        pings.send_with(position, clock);
        (pings, receiver)
    }

    pub(super) fn send(&mut self, clock: &Clock) {
        self.send_with(None, clock);
    }

    fn send_with(&mut self, position: Option<Position>, clock: &Clock) {
        self.last += 1;
        // Before it is sent: it is answered later than this.
        let sent = Sent { time: clock.now(), at: Uptime::now() };
        // One that finds no room would wait behind others that are not answered either.
        if self.sender.try_send(FollowFactsRequest { position, ping: self.last }).is_ok() {
            self.sent.push_back((self.last, sent));
            if self.sent.len() > MAX_UNANSWERED {
                self.sent.pop_front();
            }
        }
    }

    /// When the ping with this number was sent. Those before it are forgotten; itself may be answered
    /// again, when something has become different.
    pub(super) fn answered(&mut self, number: u64) -> Option<Sent> {
        while self.sent.front().is_some_and(|(sent, _)| *sent < number) {
            self.sent.pop_front();
        }
        self.sent.front().filter(|(sent, _)| *sent == number).map(|(_, sent)| *sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn an_answer_counts_from_when_its_own_ping_was_sent() {
        let clock = ManualClock::at(DateTime::UNIX_EPOCH);
        let (mut pings, _receiver) = Pings::begin(None, &Clock::Manual(clock.clone()));
        clock.advance(chrono::TimeDelta::seconds(1));
        pings.send(&Clock::Manual(clock));
        let at = |sent: Option<Sent>| sent.map(|sent| sent.time.timestamp());
        assert_eq!(at(pings.answered(1)), Some(0));
        assert_eq!(at(pings.answered(1)), Some(0), "something has become different");
        assert_eq!(at(pings.answered(2)), Some(1));
        assert_eq!(at(pings.answered(1)), None, "it is too old by now");
        assert_eq!(at(pings.answered(3)), None, "it was never sent");
    }
}
