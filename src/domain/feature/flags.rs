//! A tenant's own flags, held in little room.

use std::{cmp::Ordering, sync::Arc};

use uuid::Uuid;

use crate::domain::Setting;

/// What separates the two parts of a name. Neither has control characters.
const SEPARATOR: char = '\0';

/// Up to so many names are looked at in turn: that is quicker than a search, which compares texts.
const FEW: usize = 16;

/// A module's code and the key of one of its features.
///
/// Shared and behind one thin pointer, because many tenants have the same flags.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FlagName(Arc<Box<str>>);

impl FlagName {
    /// The text that [`FlagName::new`] takes.
    pub fn text(module: &str, key: &str) -> String {
        format!("{module}{SEPARATOR}{key}")
    }

    /// A name by its [`text`](Self::text).
    pub fn new(text: &str) -> Self {
        Self(Arc::new(text.into()))
    }

    /// The module's code, and the feature's key.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(SEPARATOR).unwrap_or((&self.0, ""))
    }

    /// Does it consist of these parts? Names of one tenant mostly differ in length, which says that
    /// they differ without a look at them.
    fn is(&self, module: &str, key: &str) -> bool {
        let text = self.0.as_bytes();
        text.len() == module.len() + 1 + key.len()
            && text.starts_with(module.as_bytes())
            && text.get(module.len()) == Some(&0)
            && text.ends_with(key.as_bytes())
    }

    /// How it is ordered against the name with these parts, without a search for its own.
    fn compare(&self, module: &str, key: &str) -> Ordering {
        let (text, module) = (self.0.as_bytes(), module.as_bytes());
        match text.split_at_checked(module.len()) {
            Some((start, rest)) => start.cmp(module).then_with(|| match rest.split_first() {
                Some((0, own)) => own.cmp(key.as_bytes()),
                // The separator comes before whatever a longer code goes on with.
                _ => Ordering::Greater,
            }),
            None => text.cmp(module),
        }
    }
}

/// Lets a set of names be asked with a text.
impl std::borrow::Borrow<str> for FlagName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One row of `feature_flags`. A tenant may have several for one feature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlagRow {
    /// Whose flag it is: the module's present code, and the key.
    pub name: FlagName,
    /// Is it on? NULL is off.
    pub is_on: bool,
    /// Its value; `None`: it has none of its own.
    pub value: Option<Setting>,
    /// When it was last updated, in microseconds since 1970.
    pub updated_at: i64,
    /// The row's UUID, which breaks ties.
    pub id: Uuid,
}

impl FlagRow {
    /// Grouped by name, and of one name the row that counts first: one that is on, then the one that
    /// was updated last, then the one with the greatest id.
    pub fn order(&self, other: &Self) -> Ordering {
        let rank = |row: &Self| (row.is_on, row.updated_at, row.id);
        self.name.parts().cmp(&other.name.parts()).then_with(|| rank(other).cmp(&rank(self)))
    }
}

/// The flags of a tenant: of each feature that it has rows for, the row that counts.
///
/// A tenant with two hundred flags is to take two KiB, so that what most flags lack, a value, is
/// stored beside those that have one, and the place of a name says whether its flag is on: then a
/// look at the names is all that most questions cost.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// Of the flags that are on, ordered; then of those that are off, ordered.
    names: Box<[FlagName]>,
    /// How many are on.
    on: usize,
    /// By place among the names.
    values: Box<[(u32, Setting)]>,
}

/// A tenant's flag for one feature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flag<'a> {
    /// Is it on?
    pub is_on: bool,
    /// Its value; `None`: it has none of its own.
    pub value: Option<&'a Setting>,
}

impl Flags {
    /// Of these rows, those that count.
    pub fn of(mut rows: Vec<FlagRow>) -> Self {
        rows.sort_by(FlagRow::order);
        rows.dedup_by(|later, first| later.name == first.name);
        rows.sort_by_key(|row| !row.is_on);
        let names = rows.iter().map(|row| row.name.clone()).collect();
        let on = rows.iter().filter(|row| row.is_on).count();
        let values = (0..).zip(rows).filter_map(|(place, row)| Some((place, row.value?))).collect();
        Self { names, on, values }
    }

    /// The room that they take, in bytes, beside what flags of other tenants share.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.names) + size_of_val(&*self.values)
    }

    /// The flag for a feature of the module with this code.
    pub fn get(&self, module: &str, key: &str) -> Option<Flag<'_>> {
        let find = |names: &[FlagName]| {
            if names.len() <= FEW {
                names.iter().position(|name| name.is(module, key))
            } else {
                names.binary_search_by(|name| name.compare(module, key)).ok()
            }
        };
        let (on, off) = self.names.split_at(self.on);
        let place = find(on).or_else(|| Some(self.on + find(off)?))?;
        Some(self.at(place))
    }

    /// All flags, each with the module's code and the feature's key: those that are on, ordered by
    /// these, then those that are off.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Flag<'_>)> {
        let all = self.names.iter().map(FlagName::parts).enumerate();
        all.map(|(place, (module, key))| (module, key, self.at(place)))
    }

    /// The keys of the features of the module with this code that there are flags for: of those that
    /// are on, ordered, then of those that are off.
    pub fn keys_of<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let (on, off) = self.names.split_at(self.on);
        [on, off].into_iter().flat_map(move |names| {
            let from = names.partition_point(|name| name.parts().0 < module);
            let names = names[from..].iter().map(FlagName::parts);
            names.take_while(move |(code, _)| *code == module).map(|(_, key)| key)
        })
    }

    /// The flag at this place among the names.
    fn at(&self, place: usize) -> Flag<'_> {
        let value = self.values.binary_search_by_key(&place, |(place, _)| *place as usize);
        let value = value.ok().and_then(|index| self.values.get(index));
        Flag { is_on: place < self.on, value: value.map(|(_, value)| value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, is_on: bool, updated_at: i64, id: u128) -> FlagRow {
        FlagRow {
            name: FlagName::new(&FlagName::text("finance", key)),
            is_on,
            value: None,
            updated_at,
            id: Uuid::from_u128(id),
        }
    }

    #[test]
    fn of_several_rows_one_that_is_on_wins_then_the_latest_then_the_greatest_id() {
        let is_on = |rows: Vec<FlagRow>| Flags::of(rows).get("finance", "a").unwrap().is_on;
        assert!(is_on(vec![row("a", true, 1, 1), row("a", false, 2, 2)]));
        let value = |number| Some(Setting::Int64(number));
        let valued = |rows: [FlagRow; 2]| {
            let flags = Flags::of(
                (1..).zip(rows).map(|(n, row)| FlagRow { value: value(n), ..row }).collect(),
            );
            flags.get("finance", "a").unwrap().value.cloned()
        };
        assert_eq!(valued([row("a", true, 2, 1), row("a", true, 1, 2)]), value(1));
        assert_eq!(valued([row("a", true, 1, 1), row("a", true, 1, 2)]), value(2));
        assert_eq!(valued([row("a", false, 2, 1), row("a", true, 1, 2)]), value(2));
    }

    #[test]
    fn flags_are_found_by_module_and_key_and_nothing_else() {
        let keys = ["a", "b", "ba", "c"];
        let flags = Flags::of(keys.iter().map(|key| row(key, *key == "b", 0, 0)).collect());
        assert_eq!(flags.get("finance", "b"), Some(Flag { is_on: true, value: None }));
        assert_eq!(flags.get("finance", "d"), None);
        assert_eq!(flags.get("financ", "ea"), None);
        assert_eq!(flags.get("finance", "c"), Some(Flag { is_on: false, value: None }));
        assert_eq!(flags.keys_of("finance").collect::<Vec<_>>(), ["b", "a", "ba", "c"]);
        assert_eq!(flags.keys_of("hrms").count(), 0);
    }

    #[test]
    fn few_names_and_many_are_found_alike() {
        for count in [FEW - 1, FEW, FEW + 1, 5 * FEW] {
            let keys: Vec<String> = (0..count).map(|number| format!("key-{number}")).collect();
            let rows = keys.iter().map(|key| row(key, key.len() % 2 == 0, 0, 0));
            let flags = Flags::of(rows.collect());
            for key in &keys {
                let is_on = key.len() % 2 == 0;
                assert_eq!(flags.get("finance", key), Some(Flag { is_on, value: None }), "{count}");
            }
            for (module, key) in [("finance", "key-"), ("financ", "ekey-1"), ("Finance", "key-1")] {
                assert_eq!(flags.get(module, key), None, "{count}: {module}, {key}");
            }
        }
    }

    #[test]
    fn names_are_ordered_by_module_and_then_by_key_however_long_either_is() {
        let parts = ["", "a", "ab", "b", "finance", "finances", "ä"];
        let pairs = || parts.iter().flat_map(|module| parts.iter().map(move |key| (*module, *key)));
        for (module, key) in pairs() {
            let name = FlagName::new(&FlagName::text(module, key));
            for (other, its_key) in pairs() {
                assert_eq!(name.compare(other, its_key), (module, key).cmp(&(other, its_key)));
            }
        }
    }
}
