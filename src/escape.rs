//! Escaping text from others, for a terminal or a log.

use std::{borrow::Cow, fmt::Write};

/// Escapes whatever would act on a terminal. Tenants choose their names, and callers choose what
/// they send; neither may move an operator's cursor, add a line to the output, or reverse its
/// direction.
pub(crate) fn escape_control(text: &str) -> Cow<'_, str> {
    written_out(text, acts, |text, letter| text.extend(letter.escape_default()))
}

/// Escapes text whose own line breaks are wanted: a message that shows part of a file.
pub(crate) fn escape_control_lines(text: &str) -> Cow<'_, str> {
    written_out(
        text,
        |letter| letter != '\n' && acts(letter),
        |text, letter| text.extend(letter.escape_default()),
    )
}

/// Escapes JSON, which stays equivalent. Its writer has escaped only what JSON forbids in strings.
pub(crate) fn escape_control_json(json: &str) -> Cow<'_, str> {
    let write = |text: &mut String, letter| {
        // Writing to a string never fails; the escaped characters are in the basic multilingual
        // plane, so that one escape is enough.
        _ = write!(text, "\\u{:04x}", u32::from(letter));
    };
    written_out(
        json,
        |letter| !letter.is_ascii_control() && acts(letter) || letter == '\u{7f}',
        write,
    )
}

/// A control character, a line separator, or one that changes the direction of the text after it.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn written_out(
    text: &str,
    is_odd: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.contains(&is_odd) {
        return text.into();
    }
    let add = |mut written: String, letter| {
        if is_odd(letter) {
            write(&mut written, letter);
        } else {
            written.push(letter);
        }
        written
    };
    text.chars().fold(String::with_capacity(text.len() + 8), add).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_written_out_and_the_rest_stays() {
        assert_eq!(escape_control("Müller & Söhne 🚛 \\ \"x\""), "Müller & Söhne 🚛 \\ \"x\"");
        assert_eq!(
            escape_control("a\u{1b}[2Jb\nALLOWED\u{9b}x\u{7f}"),
            r"a\u{1b}[2Jb\nALLOWED\u{9b}x\u{7f}"
        );
        for letter in "\0\u{8}\t\r\u{85}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            let text = format!("a{letter}b");
            assert_eq!(escape_control(&text), format!("a{}b", letter.escape_default()));
        }
        assert_eq!(escape_control_lines("a\n  b\r\u{1b}c"), "a\n  b\\r\\u{1b}c");
    }

    #[test]
    fn json_says_the_same_as_before() {
        let value = serde_json::json!({ "a\u{9b}b": "\u{1b}\u{7f}\n\u{2028}\u{202e}ä\\", "c": 1 });
        let written = format!("{value:#}\n");
        let shown = escape_control_json(&written);
        assert!(!shown.contains(|letter| letter != '\n' && acts(letter)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert_eq!(escape_control_json("{\n  \"a\": \"ä\"\n}\n"), "{\n  \"a\": \"ä\"\n}\n");
    }
}
