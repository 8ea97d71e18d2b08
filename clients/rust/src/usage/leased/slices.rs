//! What is held of a limit, and what is spent of it. Time is an argument.

use std::mem;

use uuid::Uuid;

use crate::{
    clock::{ALWAYS, Micros},
    usage::Granted,
};

/// A part of a limit that is held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slice {
    id: Uuid,
    /// 0: there is none.
    granted: i64,
    left: i64,
    /// From here on the next one is due.
    half: Micros,
    /// From here on it is not spent any more.
    end: Micros,
}

impl Slice {
    /// What was granted, asked for at an instant. It is spent for nine tenths of its time: no two clocks
    /// run alike.
    pub(super) fn new(id: Uuid, granted: Granted, sent: Micros) -> Self {
        let Granted { amount, ttl, .. } = granted;
        let (half, end) = (sent + ttl / 2, sent + ttl - ttl / 10);
        Self { id, granted: amount, left: amount, half, end }
    }

    fn is_held(&self) -> bool {
        self.granted > 0
    }

    fn has(&self, amount: i64, now: Micros) -> bool {
        now < self.end && amount <= self.left
    }

    /// Can nothing be taken from it any more?
    fn is_over(&self, now: Micros) -> bool {
        self.left == 0 || now >= self.end
    }

    fn is_due(&self, now: Micros) -> bool {
        self.left <= self.granted / 2 || now >= self.half
    }

    fn spent(&self) -> Spent {
        Spent { id: self.id, amount: self.granted - self.left }
    }
}

/// How much of a slice is spent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Spent {
    pub(super) id: Uuid,
    pub(super) amount: i64,
}

/// What is held, and what is to be settled.
#[derive(Debug)]
pub(super) struct Slices {
    current: Slice,
    next: Option<Slice>,
    /// Slices of which no more is spent, and which the server believes to be spent from still.
    pub(super) over: Vec<Spent>,
    /// One that was asked for, and not answered.
    pub(super) pending: Option<Uuid>,
    pub(super) ask_again_at: Micros,
    pub(super) tasks: Tasks,
    is_closed: bool,
}

/// What goes on in the background, each once.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// A slice is being asked for.
    pub(super) is_renewing: bool,
    /// It is said what was spent.
    is_settling: bool,
    /// Somebody waits for the time of slices to be over.
    pub(super) is_kept: bool,
}

impl Default for Slices {
    fn default() -> Self {
        Self {
            current: Slice::default(),
            next: None,
            over: Vec::new(),
            pending: None,
            ask_again_at: ALWAYS,
            tasks: Tasks::default(),
            is_closed: false,
        }
    }
}

impl Slices {
    /// Takes so much of what is held, if there is so much: from the old slice to its end, then from the
    /// next.
    pub(super) fn take(&mut self, amount: i64, now: Micros) -> bool {
        if amount <= 0 {
            return false;
        }
        if !self.current.has(amount, now) {
            let is_next = self.next.is_some_and(|next| next.has(amount, now));
            if is_next || self.current.is_over(now) {
                self.move_on();
            }
            if !self.current.has(amount, now) {
                return false;
            }
        }
        self.current.left -= amount;
        true
    }

    /// The current slice is over.
    fn move_on(&mut self) {
        let next = self.next.take().unwrap_or_default();
        let old = mem::replace(&mut self.current, next);
        if old.is_held() {
            self.over.push(old.spent());
        }
    }

    /// Puts what was granted behind what is held.
    pub(super) fn put(&mut self, slice: Slice, now: Micros) {
        if self.is_closed {
            self.over.push(slice.spent());
            return;
        }
        self.next = Some(slice);
        if self.current.is_over(now) {
            self.move_on();
        }
    }

    /// Is a slice to be asked for? Then whoever asks does so.
    pub(super) fn begin_renewing(&mut self, now: Micros) -> bool {
        let is_due = self.next.is_none() && self.current.is_due(now) && now >= self.ask_again_at;
        let is_to_renew = is_due && !self.tasks.is_renewing && !self.is_closed;
        self.tasks.is_renewing |= is_to_renew;
        is_to_renew
    }

    /// Is something to be settled? Then whoever asks does so.
    pub(super) fn begin_settling(&mut self) -> bool {
        let is_to_settle = !self.over.is_empty() && !self.tasks.is_settling;
        self.tasks.is_settling |= is_to_settle;
        is_to_settle
    }

    /// Is all settled?
    pub(super) fn end_settling(&mut self) -> bool {
        self.tasks.is_settling = !self.over.is_empty();
        !self.tasks.is_settling
    }

    /// What is spent of the slice that is held.
    pub(super) fn spent(&self) -> Option<Spent> {
        Some(self.current.spent()).filter(|spent| spent.amount > 0)
    }

    pub(super) fn is_held(&self) -> bool {
        self.current.is_held()
    }

    /// Ends what is over; how long it is until the next one is. `None`: nothing is held.
    pub(super) fn until_over(&mut self, now: Micros) -> Option<Micros> {
        while self.current.is_held() && self.current.is_over(now) {
            self.move_on();
        }
        self.tasks.is_kept = self.current.is_held();
        self.tasks.is_kept.then(|| self.current.end - now)
    }

    /// Nothing of what is held is spent any more.
    pub(super) fn end(&mut self) {
        self.move_on();
        self.move_on();
    }

    /// Nothing is asked for any more, either.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.end();
    }

    /// What was asked for and not answered may have been granted.
    pub(super) fn give_up_pending(&mut self) {
        let pending = self.pending.take();
        self.over.extend(pending.map(|id| Spent { id, amount: 0 }));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::LimitReason;

    /// Whatever happens in whichever order: of no slice is more spent than was granted, nor after its
    /// time, and what was taken is what is settled.
    #[test]
    fn what_is_taken_is_what_is_settled_and_no_slice_gives_more_than_it_was_granted() {
        for seed in 0..2_000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut slices, mut granted) = (Slices::default(), HashMap::new());
            let (mut now, mut taken, mut settled) = (0, 0, 0);
            let mut sent = None;
            for _ in 0..random.usize(1..200) {
                match random.u32(0..20) {
                    0..12 => {
                        let amount = random.i64(-1..6);
                        if slices.take(amount, now) {
                            assert!(amount > 0);
                            taken += amount;
                        }
                    }
                    12..15 if sent.is_none() && slices.begin_renewing(now) => sent = Some(now),
                    15..17 => {
                        if let Some(sent) = sent.take() {
                            let (id, amount) =
                                (Uuid::from_u128(random.u128(..)), random.i64(1..30));
                            granted.insert(id, (amount, sent + 100));
                            let told = Granted { amount, ttl: 100, reason: LimitReason::Within };
                            slices.put(Slice::new(id, told, sent), now);
                            slices.tasks.is_renewing = false;
                        }
                    }
                    17 => _ = slices.until_over(now),
                    18 if random.u32(0..30) == 0 => slices.close(),
                    18 => settled += settle(&mut slices, &granted),
                    _ => now += random.i64(0..40),
                }
                let current = slices.current;
                if current.is_held() && now < current.end {
                    assert!(now < granted[&current.id].1, "the server counts it as held");
                }
            }
            slices.close();
            settled += settle(&mut slices, &granted);
            assert_eq!(taken, settled, "seed {seed}");
            assert!(!slices.take(1, now) && !slices.begin_renewing(now));
        }
    }

    fn settle(slices: &mut Slices, granted: &HashMap<Uuid, (i64, Micros)>) -> i64 {
        let over = slices.over.drain(..);
        over.map(|Spent { id, amount }| {
            assert!((0..=granted[&id].0).contains(&amount));
            amount
        })
        .sum()
    }
}
