//! How a request's path may be read.
//!
//! Routers differ: some decode a path before they match it, some merge doubled slashes, some cut
//! off `;parameters` before or after they decode, some distinguish `/a/` from `/a`, some ignore
//! case. A spelling that we read in one way and the upstream in another bypasses a rule. So what no
//! legitimate client sends is refused, and by default everything else must lead to one and the same
//! rule in each reading.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, percent_decode, percent_encode};
use thiserror::Error;

/// Maximum length of a path without its query, in bytes.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// How the upstream interprets paths.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PathReading {
    /// Unknown: all readings must lead to the same rule.
    #[default]
    Any,
    /// Percent-decoded, `;parameters` removed (before or after decoding), doubled slashes merged, a
    /// trailing slash removed. Case-sensitive.
    Normalized,
    /// As sent. Case-sensitive.
    Literal,
}

/// Why a path is answered with 400.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RefusedPath {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NoSlash,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("the path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// `\`, or an encoded slash or backslash.
    #[error("the path has a backslash, or a slash or backslash that is percent-encoded")]
    Slash,
    /// NUL or another control character, literal or encoded; a literal blank or `#`.
    #[error("the path has a control character, a blank or a fragment")]
    Control,
    /// `.` or `..`, in any spelling.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%2541`, and `%25%34%31`: once decoded, it is still encoded.
    #[error("the path is percent-encoded twice")]
    DoubleEncoding,
    /// `%` without two digits, or encoded bytes that are not UTF-8.
    #[error("the path has a percent-encoding that cannot be read")]
    Malformed,
    /// The readings lead to different rules.
    #[error("the path is spelled in a way that services may read differently")]
    Ambiguous,
}

/// A request's target as text. Bytes that are not UTF-8 become their percent-encoding, which means the
/// same (RFC 3986, section 2.1): in a query they do no harm, and a path of them is refused.
pub fn target_text(bytes: &[u8]) -> Cow<'_, str> {
    /// Everything that is ASCII stays.
    const NOTHING: &AsciiSet = &AsciiSet::EMPTY;
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => percent_encode(bytes, NOTHING).to_string().into(),
    }
}

/// The part of a request's target before its query.
pub(super) fn without_query(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// Refuses what no legitimate client sends.
pub(super) fn check(path: &str) -> Result<(), RefusedPath> {
    if path.len() > MAX_PATH_BYTES {
        return Err(RefusedPath::TooLong);
    }
    if !path.starts_with('/') {
        return Err(RefusedPath::NoSlash);
    }
    let (mut rest, mut before, mut may_have_dots) = (path.as_bytes(), b'/', false);
    while let [first, after @ ..] = rest {
        may_have_dots |= *first == b'%' || (*first == b'.' && before == b'/');
        rest = match first {
            b'\\' => return Err(RefusedPath::Slash),
            b'#' | b'\0'..=b' ' | 0x7f => return Err(RefusedPath::Control),
            b'%' => check_encoded(after)?,
            _ => after,
        };
        before = *first;
    }
    if may_have_dots && path.split('/').any(is_dot_segment) {
        Err(RefusedPath::DotSegment)
    } else {
        Ok(())
    }
}

/// Checks what follows a `%`, and returns what follows its digits.
fn check_encoded(after: &[u8]) -> Result<&[u8], RefusedPath> {
    let (digits, after) = after.split_at_checked(2).ok_or(RefusedPath::Malformed)?;
    match byte_of(digits).ok_or(RefusedPath::Malformed)? {
        b'/' | b'\\' => Err(RefusedPath::Slash),
        0..b' ' | 0x7f => Err(RefusedPath::Control),
        b'%' if begins_with_digits(after) => Err(RefusedPath::DoubleEncoding),
        _ => Ok(after),
    }
}

/// Would this be the digits of an encoding after decoding? They may be encoded themselves.
fn begins_with_digits(after: &[u8]) -> bool {
    percent_decode(after).take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

fn byte_of(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// `..;x` counts too: some routers remove parameters first.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = percent_decode(segment.as_bytes()).collect::<Vec<u8>>();
    let word = decoded.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(word, b"." | b"..")
}

/// One way to read a path. A trailing slash is left to the lookup.
#[derive(Clone, Copy)]
struct Way {
    decode: bool,
    cut: Cut,
    merge: bool,
}

/// When `;parameters` are removed. If decoding comes first, `%3B` begins parameters too.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Cut {
    Never,
    AsSent,
    Decoded,
}

impl Cut {
    fn choices(reading: PathReading) -> &'static [Self] {
        match reading {
            PathReading::Any => &[Self::Never, Self::AsSent, Self::Decoded],
            PathReading::Normalized => &[Self::AsSent, Self::Decoded],
            PathReading::Literal => &[Self::Never],
        }
    }
}

/// All readings of a path, without duplicates. There is only one, except for unusual paths.
pub(super) fn readings(path: &str, reading: PathReading) -> Result<Vec<Cow<'_, str>>, RefusedPath> {
    let choices = |is_odd: bool| match reading {
        _ if !is_odd => &[false][..],
        PathReading::Any => &[false, true],
        PathReading::Normalized => &[true],
        PathReading::Literal => &[false],
    };
    let is_encoded = path.contains('%');
    let has_parameters =
        path.contains(';') || is_encoded && (path.contains("%3B") || path.contains("%3b"));
    let mut readings = Vec::with_capacity(1);
    for &decode in choices(is_encoded) {
        for &cut in if has_parameters { Cut::choices(reading) } else { &[Cut::Never] } {
            // A segment may be empty once its parameters are removed.
            for &merge in choices(has_parameters || path.contains("//")) {
                let read = Way { decode, cut, merge }.read(path)?;
                if !readings.contains(&read) {
                    readings.push(read);
                }
            }
        }
    }
    Ok(readings)
}

impl Way {
    fn read(self, path: &str) -> Result<Cow<'_, str>, RefusedPath> {
        let mut read = Cow::Borrowed(path);
        if self.cut == Cut::AsSent {
            read = cut_off(&read).into();
        }
        if path.contains('%') {
            let octets = if self.decode { read.into_owned() } else { keep_needless(&read) };
            let decoded = percent_decode(octets.as_bytes())
                .decode_utf8()
                .map_err(|_| RefusedPath::Malformed)?;
            read = decoded.into_owned().into();
        }
        if self.cut == Cut::Decoded {
            read = cut_off(&read).into();
        }
        if self.merge {
            let segments = read.split('/').filter(|segment| !segment.is_empty());
            let merged = segments.fold(String::new(), |merged, segment| merged + "/" + segment);
            let end = if read.ends_with('/') { "/" } else { "" };
            read = (merged + end).into();
        }
        Ok(read)
    }
}

fn cut_off(path: &str) -> String {
    let cut = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    cut.collect::<Vec<_>>().join("/")
}

/// Encodes needless percent-encodings again, so that they stay as they were sent. What has to be
/// encoded (é) is read identically by all routers (RFC 3986, section 2.3).
fn keep_needless(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    for (place, character) in path.char_indices() {
        kept.push(character);
        let encoded = path.as_bytes().get(place + 1..place + 3).and_then(byte_of);
        if character == '%' && encoded.is_some_and(needs_no_encoding) {
            kept.push_str("25");
        }
    }
    kept
}

/// `pchar` of RFC 3986, and the percent sign, which stays as it is.
fn needs_no_encoding(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte)
}

#[cfg(test)]
mod tests;
