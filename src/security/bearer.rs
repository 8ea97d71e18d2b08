//! Bearer tokens in headers ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750), section 2.1).

use http::{HeaderMap, HeaderName};

/// A header that does not hold exactly one bearer token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotOneToken;

/// The token of credentials whose scheme is `Bearer`, in any case (RFC 9110, section 11.1); `None`:
/// another scheme.
pub fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.trim_start().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// The bearer token in a header; `None`: the header is absent. Two headers are refused, because it
/// is not clear which one counts.
pub fn bearer_in<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, NotOneToken> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(bearer).map(Some).ok_or(NotOneToken),
        (Some(_), Some(_)) => Err(NotOneToken),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::AUTHORIZATION};

    use super::*;

    fn found(values: &[&'static str]) -> Result<Option<String>, NotOneToken> {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value)));
        bearer_in(&values.collect(), &AUTHORIZATION).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn one_header_with_one_token_counts() {
        assert_eq!(found(&[]), Ok(None));
        for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            assert_eq!(found(&[value]), Ok(Some("abc".to_owned())), "{value:?}");
        }
        for values in
            [&["Basic abc"][..], &["Bearer"], &["abc"], &[""], &["Bearer abc", "Bearer abc"]]
        {
            assert_eq!(found(values), Err(NotOneToken), "{values:?}");
        }
    }
}
