//! Paths without what may say who somebody is: `/api/v1/orders/{}/lines`, for logs.

use super::path::without_query;

/// Maximum length of an outline, in bytes.
pub const MAX_OUTLINE_BYTES: usize = 200;

/// What follows is left out.
pub const REST: &str = "/**";

/// Stands for one segment.
pub const ANY: &str = "{}";

const MAX_SEGMENTS: usize = 12;
const MAX_SEGMENT_BYTES: usize = 40;
/// Maximum number of letters of one word.
const MAX_LETTERS: usize = 20;
/// Maximum number of consonants in a row: "catchphrase" has six.
const MAX_CONSONANTS: usize = 6;
/// From this length on, what consists of hexadecimal digits is an id.
const HEXADECIMAL: usize = 8;

/// What comes after one of these may be a secret, whatever it looks like...
const SECRETS: &[&str] = &[
    "activate",
    "activation",
    "code",
    "confirm",
    "invitation",
    "invitations",
    "invite",
    "invites",
    "key",
    "keys",
    "magic",
    "otp",
    "passwd",
    "password",
    "pin",
    "reset",
    "secret",
    "secrets",
    "token",
    "tokens",
    "unsubscribe",
    "verify",
];
/// ... unless it is one of these.
const NO_SECRETS: &[&str] = &[
    "change",
    "confirm",
    "email",
    "forgot",
    "introspect",
    "new",
    "refresh",
    "request",
    "reset",
    "resend",
    "revoke",
    "rotate",
    "send",
    "validate",
    "verify",
];

/// The path of a request's target, with `{}` in place of each segment that may be an id, a name or a
/// secret: whatever is not one or more words. Its query and `;parameters` are left out, and `/**`
/// stands for what is too long. What looks like a word stays, also if it is somebody's name.
pub fn outline(target: &str) -> String {
    let segments = without_query(target).split('/').filter(|segment| !segment.is_empty());
    let (mut outline, mut before) = (String::new(), "");
    for (place, segment) in segments.enumerate() {
        let segment = segment.split(';').next().unwrap_or_default();
        let shown = if may_be_shown(segment, before) { segment } else { ANY };
        if place == MAX_SEGMENTS || outline.len() + 1 + shown.len() + REST.len() > MAX_OUTLINE_BYTES
        {
            return outline + REST;
        }
        outline.push('/');
        outline.push_str(shown);
        before = segment;
    }
    if outline.is_empty() { "/".to_owned() } else { outline }
}

fn may_be_shown(segment: &str, before: &str) -> bool {
    is_of_words(segment)
        && (is_one_of(NO_SECRETS, segment) || !parts(before).any(|part| is_one_of(SECRETS, part)))
}

fn is_one_of(words: &[&str], word: &str) -> bool {
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

fn parts(segment: &str) -> impl Iterator<Item = &str> {
    segment.split(['-', '_', '.', ':'])
}

/// `orders`, `bulk-upload`, `getStock`, `v2`, `gstr-3b`, `.well-known`; but not `INV-17`, `alice@x`.
fn is_of_words(segment: &str) -> bool {
    let count = |is: fn(&u8) -> bool| segment.bytes().filter(is).count();
    let (letters, capitals) = (count(u8::is_ascii_alphabetic), count(u8::is_ascii_uppercase));
    // Tokens have separators too, and many of them, and words with capitals are short.
    let is_short = capitals == 0 || segment.len() <= MAX_LETTERS;
    segment.len() <= MAX_SEGMENT_BYTES
        && count(u8::is_ascii_digit) <= 2
        && letters > 0
        && is_short
        && parts(segment).all(|part| part.is_empty() || is_word(part))
}

fn is_word(part: &str) -> bool {
    let letters = || part.bytes().filter(u8::is_ascii_alphabetic);
    let (count, capitals) = (letters().count(), letters().filter(u8::is_ascii_uppercase).count());
    let is_hexadecimal =
        part.len() >= HEXADECIMAL && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    (1..=MAX_LETTERS).contains(&count)
        && has_digits_of_a_word(part, capitals)
        && !is_hexadecimal
        && has_capitals_of_words(count, capitals)
        && !has_too_many_consonants(part)
}

/// Digits before the letters (`2fa`), behind them (`v2`), or before the last one (`b2b`).
fn has_digits_of_a_word(part: &str, capitals: usize) -> bool {
    let inner = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let tail = inner.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let after = tail.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let has_digits = inner.len() < part.len() || !tail.is_empty();
    let is_well_formed = after.is_empty() || (after.len() == 1 && after.is_ascii());
    is_well_formed
        && after.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !(has_digits && capitals > 0)
}

/// An abbreviation, or words of three letters and more on an average: `getUserById`, `GSTReport`.
fn has_capitals_of_words(letters: usize, capitals: usize) -> bool {
    if capitals == letters { letters <= 6 } else { 3 * capitals <= letters + 3 }
}

fn has_too_many_consonants(part: &str) -> bool {
    let is_vowel = |letter: char| "aeiouyAEIOUY".contains(letter) || letter.is_ascii_digit();
    part.split(is_vowel).any(|consonants| consonants.len() > MAX_CONSONANTS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_and_what_may_be_an_id_or_a_secret_does_not() {
        for (target, shown) in [
            ("/", "/"),
            ("", "/"),
            ("/api/v1/orders/17/lines", "/api/v1/orders/{}/lines"),
            ("/api/v1/orders/?token=hunter2", "/api/v1/orders"),
            ("/a//b;jsessionid=4711/c", "/a/b/c"),
            ("/users/0b5a3c86-1b6e-4c9a-9f0e-6f1b2c3d4e5f", "/users/{}"),
            ("/users/0B5A3C861B6E4C9A9F0E6F1B2C3D4E5F", "/users/{}"),
            ("/commits/deadbeef", "/commits/{}"),
            ("/users/alice@example.com/x", "/users/{}/x"),
            ("/caf%C3%A9/x%20y", "/{}/{}"),
            ("/invoices/INV-2026-17", "/invoices/{}"),
            ("/orders/PO12/order-7/2026-11-29", "/orders/{}/{}/{}"),
            ("/x/01HF3ZKQ9W7T8V6R5P4N3M2K1J", "/x/{}"),
            ("/x/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "/x/{}"),
            ("/x/dGhpcyBpcyBub3QgYSB3b3Jk/kJxQpWzRtYvBnM/xkqzjwvprt", "/x/{}/{}/{}"),
            ("/x/aAAa--a-aA-_-a_aa_-Aa-AAA_aA-aAa", "/x/{}"),
            ("/files/report.pdf/.well-known", "/files/report.pdf/.well-known"),
            ("/getUserById/GSTReport/exportPDF", "/getUserById/GSTReport/exportPDF"),
            ("/gstr-3b/2fa/b2b/oauth2/i18n/v12", "/gstr-3b/2fa/b2b/oauth2/i18n/v12"),
            ("/bulk_upload/eway-bills/GST", "/bulk_upload/eway-bills/GST"),
            ("/orders:cancel", "/orders:cancel"),
            ("/reset-password/swordfish", "/reset-password/{}"),
            ("/auth/token/refresh", "/auth/token/refresh"),
            ("/api-keys/correcthorse/x", "/api-keys/{}/x"),
        ] {
            assert_eq!(outline(target), shown, "{target}");
        }
    }

    proptest! {
        #[test]
        fn an_outline_is_short_and_says_no_more_when_it_is_made_again(
            target in r"(/[A-Za-z0-9._~@%;:{}*-]{0,30}){0,20}(\?.{0,9})?|.{0,300}",
        ) {
            let made = outline(&target);
            prop_assert!(made.len() <= MAX_OUTLINE_BYTES && made.starts_with('/'), "{}", made);
            prop_assume!(!made.ends_with(REST));
            prop_assert_eq!(outline(&made.replace(ANY, "@")), made);
        }

        #[test]
        fn no_id_of_a_usual_kind_is_shown(
            id in "[0-9]{1,20}|[0-9a-f]{16,64}|[0-9A-HJKMNP-TV-Z]{26}|[A-Za-z0-9_-]{32,40}|[a-z]{1,8}@[a-z]{1,8}",
        ) {
            prop_assert_eq!(outline(&format!("/a/{id}")), "/a/{}");
        }
    }
}
