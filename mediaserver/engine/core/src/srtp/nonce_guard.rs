//! Keeps a nonce from being used for two byte strings: under one key and SSRC an index is sealed once, below the window never.
//!
//! A plain retransmission seals an index again; the caller promises the same bytes, and debug builds check it.

use super::index_window::{IndexState, IndexWindow};

/// Whether a packet goes out for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexUse {
    First,
    /// The same bytes as before.
    Again,
}

#[derive(Debug, Default)]
pub struct NonceGuard {
    window: IndexWindow,
    #[cfg(debug_assertions)]
    hashes: std::collections::HashMap<u64, u64>,
}

impl NonceGuard {
    /// Whether `plain`, in parts, may be sealed under `index`; notes it when so.
    ///
    /// # Panics
    /// In debug builds, when the index was sealed with other bytes.
    #[must_use]
    pub fn admit(&mut self, index: u64, index_use: IndexUse, plain: [&[u8]; 3]) -> bool {
        let admitted = match index_use {
            IndexUse::First => self.window.state(index) == IndexState::Fresh,
            IndexUse::Again => self.window.state(index) == IndexState::Used,
        };
        if admitted {
            self.window.mark(index);
            self.check(index, plain);
        }
        admitted
    }

    #[inline]
    pub fn prefetch_next(&self) {
        self.window.prefetch_next();
    }

    #[must_use]
    pub fn knows(&self, index: u64) -> bool {
        self.window.state(index) == IndexState::Used
    }

    #[cfg(debug_assertions)]
    fn check(&mut self, index: u64, plain: [&[u8]; 3]) {
        use std::hash::{DefaultHasher, Hasher};
        let mut hasher = DefaultHasher::new();
        hasher.write(&plain.concat());
        let hash = hasher.finish();
        let known = *self.hashes.entry(index).or_insert(hash);
        assert_eq!(known, hash, "two byte strings under index {index}");
    }

    #[cfg(not(debug_assertions))]
    #[allow(clippy::unused_self)] // The same shape as in debug builds.
    fn check(&self, _index: u64, _plain: [&[u8]; 3]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_admitted_once_and_again_only_on_purpose() {
        let mut guard = NonceGuard::default();
        assert!(!guard.admit(9, IndexUse::Again, [b"a", b"", b""]));
        assert!(guard.admit(9, IndexUse::First, [b"a", b"", b""]));
        assert!(!guard.admit(9, IndexUse::First, [b"b", b"", b""]));
        assert!(guard.admit(9, IndexUse::Again, [b"a", b"", b""]));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "two byte strings")]
    fn other_bytes_under_one_index_panic_in_debug_builds() {
        let mut guard = NonceGuard::default();
        assert!(guard.admit(9, IndexUse::First, [b"a", b"", b""]));
        let _ = guard.admit(9, IndexUse::Again, [b"b", b"", b""]);
    }
}
