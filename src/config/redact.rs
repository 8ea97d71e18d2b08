//! Text that may hold the URL of a database, without its password.

/// Replaces what is between `://` and `@` in each word that is a URL, and its parameters.
pub fn without_passwords(text: &str) -> String {
    let blank = |word: &str| {
        let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let quote = if parameters.contains('\'') { "'" } else { "" };
        let host = rest.rfind('@').map_or(rest.to_owned(), |at| format!("***{}", &rest[at..]));
        let space = &word[word.trim_end().len()..];
        let blanked = if parameters.is_empty() { "" } else { "?***" };
        format!("{scheme}://{}{blanked}{quote}{space}", host.trim_end())
    };
    text.split_inclusive(char::is_whitespace).map(blank).collect()
}

#[cfg(test)]
mod tests {
    use super::without_passwords;

    #[test]
    fn a_misplaced_url_is_printed_without_its_password() {
        let text =
            without_passwords("unexpected 'postgres://erp:s3c@ret@db/erp' found\n\nUsage: x");
        assert_eq!(text, "unexpected 'postgres://***@db/erp' found\n\nUsage: x");
        let text = without_passwords(
            "'postgres://erp@db/erp?password=s3cret' found\nsee https://rustup.rs",
        );
        assert_eq!(text, "'postgres://***@db/erp?***' found\nsee https://rustup.rs");
    }
}
