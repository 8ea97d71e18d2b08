//! SHA-256.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// A SHA-256 hash.
pub type Hash = [u8; SHA256_OUTPUT_LEN];

/// The SHA-256 hash of a text.
pub fn hash(text: &str) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Parses a hexadecimal hash, in any case; `None` if it is not one.
pub fn parse(hexadecimal: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    hex::decode_to_slice(hexadecimal, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_sha_256() {
        // FIPS 180-2, appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(hash("abc")), wanted);
        assert_eq!(parse(&wanted.to_uppercase()), Some(hash("abc")));
    }
}
