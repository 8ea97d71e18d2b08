//! The places of the tenants that are held, in a ring with two hands, each at its own pace.
//!
//! One makes room, by the second-chance rule (CLOCK): the tenant under the hand goes, unless it was
//! asked for since the hand last came by. The other reads again: it passes everything that is held
//! once per round.

use crate::domain::TenantId;

/// A ring with a maximum number of places. A vacated place is the next to be taken.
#[derive(Debug)]
pub(super) struct Ring {
    capacity: usize,
    places: Vec<Option<TenantId>>,
    vacant: Vec<u32>,
    making_room: usize,
    /// How far the hand that makes room goes at a time. Tenants that came one after the other are often
    /// spared alike: in great strides it meets others soon, and yet each place once a round.
    stride: usize,
    reading: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        // A place is numbered by 32 bits.
        let capacity = capacity.clamp(1, u32::MAX as usize);
        Self {
            capacity,
            places: Vec::new(),
            vacant: Vec::new(),
            making_room: 0,
            stride: stride(capacity),
            reading: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Takes a place for a tenant. Returns the place, and the tenant that was evicted for it.
    /// `spare`: was the tenant under the hand asked for since the hand last came by, or is it to stay? After
    /// `most` of them the next one goes regardless.
    pub(super) fn take_place(
        &mut self,
        id: TenantId,
        most: usize,
        spare: impl Fn(&TenantId) -> bool,
    ) -> (u32, Option<TenantId>) {
        if let Some(place) = self.vacant.pop() {
            self.places[place as usize] = Some(id);
            return (place, None);
        }
        if self.places.len() < self.capacity {
            self.places.push(Some(id));
            return (number(self.places.len() - 1), None);
        }
        for _ in 0..most {
            if !self.places[self.making_room].as_ref().is_some_and(&spare) {
                break;
            }
            self.making_room = self.after(self.making_room);
        }
        let place = self.making_room;
        self.making_room = self.after(place);
        (number(place), self.places[place].replace(id))
    }

    /// Leaves a place empty.
    pub(super) fn vacate(&mut self, place: u32) {
        self.places[place as usize] = None;
        self.vacant.push(place);
    }

    /// The tenants in the next places, each place at most once. The hand moves past them.
    pub(super) fn next(&mut self, places: usize) -> Vec<TenantId> {
        let next = self.peek(places);
        if let Some(round) = std::num::NonZero::new(self.places.len()) {
            self.reading = (self.reading + places.min(round.get())) % round;
        }
        next
    }

    /// The tenants in the next places, each place at most once.
    pub(super) fn peek(&self, places: usize) -> Vec<TenantId> {
        let (before, from_here) = self.places.split_at(self.reading);
        from_here.iter().chain(before).take(places).copied().flatten().collect()
    }

    /// The tenants in so many places from this one on; `None`: there is no such place.
    pub(super) fn at(&self, from: usize, places: usize) -> Option<Vec<TenantId>> {
        let rest = self.places.get(from..).filter(|rest| !rest.is_empty())?;
        Some(rest.iter().take(places).copied().flatten().collect())
    }

    fn after(&self, place: usize) -> usize {
        (place + self.stride) % self.places.len()
    }
}

/// Near the golden section of so many places, so that no few strides lead back to almost the same place, and
/// without a common divisor.
fn stride(places: usize) -> usize {
    let are_coprime = |mut one: usize, mut other: usize| {
        while other > 0 {
            (one, other) = (other, one % other);
        }
        one == 1
    };
    let golden = (places.saturating_mul(618_034) / 1_000_000).max(1);
    (golden..=places).find(|stride| are_coprime(*stride, places)).unwrap_or(1)
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        Uuid::from_u128(number).into()
    }

    fn full(count: u32) -> Ring {
        let mut ring = Ring::new(count as usize);
        for number in 0..count {
            assert_eq!(ring.take_place(tenant(number.into()), 64, |_| false), (number, None));
        }
        ring
    }

    #[test]
    fn what_came_first_and_was_not_asked_for_makes_room() {
        let mut ring = full(3);
        let asked_for = |id: &TenantId| *id == tenant(0);
        assert_eq!(ring.take_place(tenant(3), 64, asked_for), (1, Some(tenant(1))));
        assert_eq!(ring.take_place(tenant(4), 64, |_| false), (2, Some(tenant(2))));
        assert_eq!(ring.take_place(tenant(5), 64, |_| false), (0, Some(tenant(0))));
    }

    #[test]
    fn somebody_makes_room_although_all_were_asked_for() {
        let mut ring = full(300);
        let expected = (64 * ring.stride) % 300;
        let taken = ring.take_place(tenant(300), 64, |_| true);
        assert_eq!(taken, (number(expected), Some(tenant(expected as u128))));
    }

    #[test]
    fn who_makes_room_is_found_soon_among_many_who_came_before_and_are_to_stay() {
        for places in [300_u32, 1_000, 99_991, 100_000, 1 << 16] {
            let mut ring = full(places);
            let stay = u128::from(places) * 9 / 10;
            let is_to_stay = |id: &TenantId| id.uuid().as_u128() < stay;
            for more in 0..1_000 {
                let (_, gone) = ring.take_place(tenant(u128::from(places) + more), 64, is_to_stay);
                assert!(gone.is_some_and(|gone| !is_to_stay(&gone)), "{places}: {gone:?}");
            }
        }
    }

    #[test]
    fn whoever_makes_room_every_place_has_its_turn() {
        for places in [1_u32, 2, 3, 5, 8, 100, 101, 300] {
            let mut ring = full(places);
            let turns = (0..places)
                .map(|more| ring.take_place(tenant((places + more).into()), 64, |_| false).0);
            assert_eq!(turns.collect::<std::collections::HashSet<_>>().len(), places as usize);
        }
    }

    #[test]
    fn a_vacated_place_is_taken_before_anybody_has_to_go() {
        let mut ring = full(3);
        ring.vacate(1);
        assert_eq!(ring.take_place(tenant(3), 64, |_| false), (1, None));
        assert_eq!(ring.len(), 3);
    }

    #[test]
    fn every_tenant_comes_up_once_a_round_whatever_comes_and_goes() {
        let mut ring = full(10);
        ring.vacate(4);
        let mut seen: Vec<_> = (0..5).flat_map(|_| ring.next(2)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 5, 6, 7, 8, 9].map(tenant));
        assert_eq!(ring.next(100).len(), 9, "none of them twice at once");
        assert!(Ring::new(5).next(3).is_empty());
    }
}
