//! Reading a row, with errors that name table, column and key.

use std::sync::Arc;

use sea_orm::{DbErr, QueryResult, TryGetable, prelude::Json};

use super::{StoreError, interner::CodeInterner, warn_once::WarnOnce};

/// What all reads share.
#[derive(Debug, Default)]
pub(super) struct ReadContext {
    pub(super) codes: CodeInterner,
    pub(super) warnings: WarnOnce,
}

/// The first row of a statement that always has one.
pub(super) fn first(rows: &[QueryResult]) -> Result<&QueryResult, StoreError> {
    rows.first().ok_or_else(|| {
        DbErr::RecordNotFound("a statement that always has a row had none".into()).into()
    })
}

/// A column of a result.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    place: Option<usize>,
}

impl Column {
    /// A column with a known index: looking up a name costs as much as reading a value.
    pub(super) const fn at(place: usize, name: &'static str) -> Self {
        Self { name, place: Some(place) }
    }
}

impl From<&'static str> for Column {
    fn from(name: &'static str) -> Self {
        Self { name, place: None }
    }
}

/// One row of a result. Columns are named `table.column`, also in the result.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    result: &'a QueryResult,
    key_column: Column,
    /// Formats the key for errors: only then, since rows are read by the thousand.
    show: fn(&QueryResult, &'static str) -> String,
}

fn show<K: TryGetable + ToString>(result: &QueryResult, column: &'static str) -> String {
    result
        .try_get::<K>("", column)
        .map_or_else(|_| "with an unreadable key".to_owned(), |key| key.to_string())
}

impl<'a> Row<'a> {
    /// A row whose key, for errors, is in this column; `None` if that is NULL.
    pub(super) fn keyed_by<K: TryGetable + ToString>(
        result: &'a QueryResult,
        key_column: impl Into<Column>,
    ) -> Result<Option<Self>, StoreError> {
        let key_column = key_column.into();
        let row = Self { result, key_column, show: show::<K> };
        Ok(row.get::<Option<K>>(key_column)?.map(|_| row))
    }

    fn key(&self) -> String {
        (self.show)(self.result, self.key_column.name)
    }

    /// Makes sure that another row does not have a different value in a column: two tenants with
    /// one subdomain must not be taken for one.
    pub(super) fn must_agree<K: TryGetable + PartialEq>(
        &self,
        other: &QueryResult,
        column: Column,
    ) -> Result<(), StoreError> {
        let other: Option<K> = Row { result: other, ..*self }.get(column)?;
        if other.is_none() || other == self.get(column)? {
            return Ok(());
        }
        Err(self.unreadable(column.name, "another row has the same subdomain"))
    }

    /// The error for a value that was read, and does not hold what its column promises.
    pub(super) fn unreadable(&self, column: &'static str, problem: &str) -> StoreError {
        StoreError::Unreadable {
            column,
            key: self.key(),
            cause: Arc::new(DbErr::Custom(problem.to_owned())),
        }
    }

    /// A column's value.
    pub(super) fn get<T: TryGetable>(&self, column: impl Into<Column>) -> Result<T, StoreError> {
        let Column { name: column, place } = column.into();
        let value = match place {
            Some(place) => self.result.try_get_by_index(place),
            None => self.result.try_get("", column),
        };
        value.map_err(|cause| StoreError::Unreadable {
            column,
            key: self.key(),
            cause: Arc::new(cause),
        })
    }

    /// A text that decides nothing: NULL counts as empty.
    pub(super) fn text(&self, column: impl Into<Column>) -> Result<String, StoreError> {
        self.get::<Option<String>>(column).map(Option::unwrap_or_default)
    }

    /// A flag: NULL counts as false.
    pub(super) fn flag(&self, column: impl Into<Column>) -> Result<bool, StoreError> {
        self.get::<Option<bool>>(column).map(Option::unwrap_or_default)
    }

    /// A JSON list, given as text, that is only informative. Anything that is not a list of the
    /// expected kind is left out, which is logged: a malformed menu section must not lock out
    /// customers.
    pub(super) fn list<T>(
        &self,
        column: &'static str,
        context: &ReadContext,
        read: impl Fn(&Json) -> Option<T>,
    ) -> Vec<T> {
        let text = match self.text(column) {
            Ok(text) => text,
            Err(error) => {
                context.warnings.warn(column, &error.to_string(), "taken for an empty list");
                return Vec::new();
            }
        };
        let json = match text.as_str() {
            "" => Json::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned())),
        };
        let items = match &json {
            Json::Array(items) => items.as_slice(),
            Json::Null => &[],
            other => std::slice::from_ref(other),
        };
        let read = |item| {
            let value = read(item);
            if value.is_none() {
                context.warnings.warn(column, &item.to_string(), "left out of the list");
            }
            value
        };
        items.iter().filter_map(read).collect()
    }
}
