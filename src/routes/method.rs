//! Which methods are accepted.

use thiserror::Error;

/// Maximum length of a method, in bytes. The longest registered method has 17.
const MAX_BYTES: usize = 32;

/// Why a method is answered with 400, and why no rule of a file may name it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the method is not a word in capital letters, such as GET or VERSION-CONTROL")]
pub struct RefusedMethod;

/// Checks that a method is well-formed: words of capital letters, joined by hyphens.
///
/// All that are registered are of this form, and case matters (RFC 9110, section 9.1). Some
/// frameworks ignore case: what they would run as DELETE must not pass as a method that no rule
/// names.
pub fn check_method(method: &str) -> Result<(), RefusedMethod> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    if method.len() <= MAX_BYTES && method.split('-').all(is_word) {
        Ok(())
    } else {
        Err(RefusedMethod)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_method_is_made_of_capital_letters_with_hyphens_between_them() {
        for method in ["GET", "OPTIONS", "M-SEARCH", "VERSION-CONTROL", "UPDATEREDIRECTREF", "X"] {
            assert_eq!(check_method(method), Ok(()), "{method}");
        }
        let long = "A".repeat(MAX_BYTES + 1);
        for method in [
            "",
            "get",
            "Get",
            "DELETe",
            "m-search",
            "-GET",
            "GET-",
            "A--B",
            "-",
            "GET ",
            " GET",
            "G\tT",
            "GET\0",
            "GET1",
            "GE_T",
            "*",
            "D\u{415}LETE",
            "DELETE\u{17f}",
            "$GET",
            long.as_str(),
        ] {
            assert_eq!(check_method(method), Err(RefusedMethod), "{method:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_another_method_in_another_case_is_none(method in ".{0,12}|[A-Za-z-]{1,12}") {
            if check_method(&method).is_ok() {
                prop_assert_eq!(&method, &method.to_uppercase());
                prop_assert!(method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'));
            }
        }
    }
}
