//! Text of the database on a terminal.

use std::borrow::Cow;

/// The text, its control characters written out: a tenant chooses its own name, and must not move an operator's cursor or
/// add a line to what is printed.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let written = |letter: char| {
        if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() }
    };
    text.chars().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn control_characters_are_written_out_and_others_stay() {
        assert_eq!(shown("Müller & Söhne 🚛"), "Müller & Söhne 🚛");
        assert_eq!(shown("a\u{1b}[2Jb\nALLOWED\u{9b}x"), r"a\u{1b}[2Jb\nALLOWED\u{9b}x");
    }
}
