//! SHA-256, and bytes in hexadecimal.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// A hash.
pub type Hash = [u8; SHA256_OUTPUT_LEN];

/// The hash of a text.
pub fn hash(text: &str) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Bytes in hexadecimal, in small letters.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string never fails.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hash that is written in hexadecimal, in letters of either size; `None` where it is not one.
pub fn parse(hexadecimal: &str) -> Option<Hash> {
    // `from_str_radix` would take a sign.
    if hexadecimal.len() != SHA256_OUTPUT_LEN * 2 || !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    for (byte, digits) in bytes.iter_mut().zip(hexadecimal.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_sha_256() {
        // FIPS 180-2, appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hexadecimal(&hash("abc")), wanted);
        assert_eq!(parse(&wanted.to_uppercase()), Some(hash("abc")));
    }
}
