//! Values of features as JSON.

use sea_orm::prelude::Json;

use crate::domain::Setting;

/// A value; `None`: there is none, which null and an empty object say too.
pub fn setting_of(json: Json) -> Option<Setting> {
    match json {
        Json::Null => None,
        Json::Object(fields) if fields.is_empty() => None,
        Json::Bool(value) => Some(Setting::Bool(value)),
        Json::String(text) => Some(Setting::String(text.into())),
        Json::Number(number) => {
            let other = || Setting::Json(number.to_string().into());
            Some(number.as_i64().map_or_else(other, Setting::Int64))
        }
        json @ (Json::Array(_) | Json::Object(_)) => Some(Setting::Json(json.to_string().into())),
    }
}

/// A value as JSON; null: there is none, or it cannot be read.
pub fn setting_to_json(setting: Option<&Setting>) -> Json {
    match setting {
        None | Some(Setting::Unreadable) => Json::Null,
        Some(Setting::Bool(value)) => (*value).into(),
        Some(Setting::Int64(value)) => (*value).into(),
        Some(Setting::String(text)) => text.to_string().into(),
        Some(Setting::Json(text)) => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// The length of a value as the database writes it, in characters: every digit of a number, and a
/// blank after each comma and colon.
pub fn length_of(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::String(_) => json.to_string().chars().count(),
        Json::Number(number) if number.is_f64() => {
            format!("{}", number.as_f64().unwrap_or_default()).len()
        }
        Json::Number(number) => number.to_string().len(),
        Json::Array(items) => 2 + items.iter().map(|item| length_of(item) + 2).sum::<usize>(),
        Json::Object(fields) => {
            let field = |(name, value): (&String, &Json)| {
                Json::from(name.as_str()).to_string().chars().count() + length_of(value) + 4
            };
            2 + fields.iter().map(field).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for value in [json!(true), json!(7), json!(7.5), json!("seven"), json!([1, {"a": null}])] {
            assert_eq!(setting_to_json(setting_of(value.clone()).as_ref()), value);
        }
        for none in [json!(null), json!({})] {
            assert_eq!(setting_of(none), None);
        }
    }

    #[test]
    fn the_length_is_that_of_every_digit() {
        assert_eq!(length_of(&json!(1e300)), 301);
        assert!(length_of(&json!({"a": [1, 2]})) >= r#"{"a": [1, 2]}"#.len());
    }
}
