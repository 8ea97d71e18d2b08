//! What a feature is set to, in OpenFeature's types.

use open_feature::{StructValue, Value as Flag};

use crate::Value;

pub(super) fn int(value: &Value) -> Option<i64> {
    value.as_i64()
}

/// Any number is one.
pub(super) fn float(value: &Value) -> Option<f64> {
    value.as_f64()
}

pub(super) fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// An object. OpenFeature knows no null: a field that is null is left out, and a list with one is
/// none.
pub(super) fn structure(value: &Value) -> Option<StructValue> {
    let fields = value.as_object()?.iter().filter(|(_, field)| !field.is_null());
    let fields = fields.map(|(name, field)| Some((name.clone(), flag(field)?)));
    Some(StructValue { fields: fields.collect::<Option<_>>()? })
}

fn flag(value: &Value) -> Option<Flag> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => Flag::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Flag::Int(whole),
            None => Flag::Float(number.as_f64()?),
        },
        Value::String(text) => Flag::String(text.clone()),
        Value::Array(values) => Flag::Array(values.iter().map(flag).collect::<Option<_>>()?),
        Value::Object(_) => Flag::Struct(structure(value)?),
    })
}
