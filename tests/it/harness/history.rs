//! What was true when: the states that something had, by the instants of the commits that made
//! them.

use std::time::Instant;

/// The states of one thing, in the order of their commits.
#[derive(Debug)]
pub struct History<S>(Vec<Committed<S>>);

#[derive(Debug)]
struct Committed<S> {
    state: S,
    /// Just before the commit was sent. Nobody can have seen the state earlier.
    begun: Instant,
    /// Just after it was known to be done. From here on, everybody can see the state.
    done: Option<Instant>,
}

impl<S> History<S> {
    /// So it has been since ever.
    pub fn of(state: S) -> Self {
        let now = Instant::now();
        Self(vec![Committed { state, begun: now, done: Some(now) }])
    }

    /// A commit is about to be sent. Gives the number of the state that it makes.
    pub fn begin(&mut self, state: S) -> usize {
        self.0.push(Committed { state, begun: Instant::now(), done: None });
        self.0.len() - 1
    }

    /// The commit that was begun last is done.
    pub fn end(&mut self) {
        self.0.last_mut().unwrap().done = Some(Instant::now());
    }

    /// The state that was made last.
    pub fn last(&self) -> &S {
        &self.0.last().unwrap().state
    }

    pub fn last_mut(&mut self) -> &mut S {
        &mut self.0.last_mut().unwrap().state
    }

    /// The number of the last state whose commit is done and of which this holds.
    pub fn last_such(&self, such: impl Fn(&S) -> bool) -> Option<usize> {
        self.0.iter().rposition(|committed| committed.done.is_some() && such(&committed.state))
    }

    /// The state of a number.
    pub fn get(&self, number: usize) -> &S {
        &self.0[number].state
    }

    /// The states that were current at some instant of this span, as far as can be told, and their
    /// numbers.
    pub fn within(&self, from: Instant, to: Instant) -> impl Iterator<Item = (usize, &S)> {
        let replaced = |number: usize| self.0.get(number + 1).and_then(|next| next.done);
        let current = move |number: usize, state: &Committed<S>| {
            // The first was there before anyone looked.
            (number == 0 || state.begun <= to)
                && replaced(number).is_none_or(|replaced| replaced >= from)
        };
        let all = self.0.iter().enumerate();
        all.filter(move |(number, state)| current(*number, state))
            .map(|(number, state)| (number, &state.state))
    }
}
