//! The value of a feature: what a flag, a plan or a definition sets it to.

/// A value, as JSON has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Setting {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits into 64 bits.
    Int64(i64),
    /// A text.
    String(Box<str>),
    /// Anything else, as JSON text: another number, a list, an object.
    Json(Box<str>),
    /// What is stored is no JSON, or too long to be read.
    Unreadable,
}

impl Setting {
    /// As JSON text; `(unreadable)` where what is stored is none.
    pub fn json(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int64(value) => value.to_string(),
            Self::String(text) => quoted(text),
            Self::Json(text) => text.to_string(),
            Self::Unreadable => "(unreadable)".to_owned(),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\0'..' ' => json.extend([r"\u", &format!("{:04x}", u32::from(letter))]),
            _ => json.push(letter),
        }
    }
    json.push('"');
    json
}

/// Which values a feature takes. It may always have none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ValueType {
    /// `bool`.
    Bool,
    /// `int64`: a whole number.
    Int64,
    /// `string`.
    String,
    /// `json`: any.
    #[default]
    Json,
}

impl ValueType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Bool, Self::Int64, Self::String, Self::Json];

    /// The stored form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int64 => "int64",
            Self::String => "string",
            Self::Json => "json",
        }
    }

    /// Reads the stored form.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Is this a value of this type?
    pub fn takes(self, value: &Setting) -> bool {
        match (self, value) {
            (_, Setting::Unreadable) => false,
            (Self::Json, _)
            | (Self::Bool, Setting::Bool(_))
            | (Self::Int64, Setting::Int64(_))
            | (Self::String, Setting::String(_)) => true,
            (Self::Bool | Self::Int64 | Self::String, _) => false,
        }
    }
}
