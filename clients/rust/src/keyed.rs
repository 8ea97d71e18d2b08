//! Hashes of credentials: tokens are not kept.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::ask::Credentials;

/// A key that is made at process start, so that nobody can prepare credentials that collide under
/// it.
#[derive(Clone, Copy)]
pub(crate) struct Key(u64, u64);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    pub(crate) fn random() -> Self {
        // 122 bits of the operating system's randomness.
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self(high, low)
    }

    pub(crate) fn of(self, Credentials { tenant_id, host, bearer_token }: Credentials<'_>) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        for part in [tenant_id, host, bearer_token] {
            // The lengths separate the parts.
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other_and_keys_differ() {
        let of = |tenant_id, host| Credentials { tenant_id, host, bearer_token: "" };
        let key = Key::random();
        assert_ne!(key.of(of("ab", "c")), key.of(of("a", "bc")));
        assert_eq!(key.of(of("ab", "c")), key.of(of("ab", "c")));
        assert_ne!(key.of(of("ab", "c")), Key::random().of(of("ab", "c")));
    }
}
