//! Secrets as they are held in memory: never printed, never empty, compared in constant time.
//! Used by the methods `ticket` and `wampcra`. Knows no method and no configuration file.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

/// HMAC-SHA256 with its key already set.
pub(super) type KeyedHash = Hmac<Sha256>;

/// Bytes of a secret, and of what a client shows for one; more is refused. 64 KiB: no token is that
/// long, and hashing as much takes well under a millisecond.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// A shared secret or ticket as it was configured. Its text is in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret of 1 to [`MAX_SECRET_BYTES`] bytes.
    ///
    /// # Errors
    /// [`SecretError`]. An environment variable that is set to nothing must not become an account
    /// that anybody can enter with an empty ticket.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, SecretError> {
        let text = text.into();
        match text.len() {
            0 => Err(SecretError::Empty),
            1..=MAX_SECRET_BYTES => Ok(Self(text)),
            bytes => Err(SecretError::TooLong { bytes }),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// It is empty.
    #[error("a secret must not be empty")]
    Empty,
    /// It is longer than [`MAX_SECRET_BYTES`].
    #[error("a secret has {bytes} bytes, {MAX_SECRET_BYTES} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// The one or two secrets with which a principal may log in: with two, a secret is changed without
/// cutting off the clients that still hold the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The secret that clients should have.
    pub first: Secret,
    /// The one that is valid beside it while clients move from one to the other.
    pub second: Option<Secret>,
}

impl Secrets {
    /// A single valid secret.
    #[must_use]
    pub fn one(first: Secret) -> Self {
        Self {
            first,
            second: None,
        }
    }

    /// Two valid secrets.
    #[must_use]
    pub fn two(first: Secret, second: Secret) -> Self {
        Self {
            first,
            second: Some(second),
        }
    }

    /// `make` of each secret; a single one twice, so that a login with one valid secret takes as
    /// long as a login with two.
    pub(super) fn pair<T: Clone>(&self, make: impl Fn(&Secret) -> T) -> [T; 2] {
        let first = make(&self.first);
        let second = self.second.as_ref().map_or_else(|| first.clone(), make);
        [first, second]
    }
}

/// HMAC-SHA256 with `key`, which may have any length (RFC 2104: a longer one is hashed first).
pub(super) fn keyed(key: &[u8]) -> KeyedHash {
    #[expect(
        clippy::expect_used,
        reason = "HMAC is defined for keys of every length"
    )]
    KeyedHash::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// The HMAC of `parts`, one after the other, under an already keyed hash.
pub(super) fn digest(keyed: &KeyedHash, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = keyed.clone();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("hunter2").unwrap();
        let secrets = Secrets::two(secret.clone(), Secret::new("hunter3").unwrap());
        let shown = format!("{secret:?} {secrets:?} {secrets:#?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn a_secret_has_1_to_65536_bytes() {
        assert_eq!(Secret::new(""), Err(SecretError::Empty));
        assert!(Secret::new("x").is_ok());
        assert!(Secret::new("x".repeat(65_536)).is_ok());
        let too_long = Secret::new("x".repeat(65_537)).unwrap_err();
        assert_eq!(
            too_long.to_string(),
            "a secret has 65537 bytes, 65536 are allowed"
        );
    }

    #[test]
    fn a_single_secret_fills_both_places() {
        let pair = |secrets: Secrets| secrets.pair(|secret| secret.as_bytes().to_vec());
        let secret = |text: &str| Secret::new(text).unwrap();
        assert_eq!(pair(Secrets::one(secret("a"))), [b"a", b"a"]);
        assert_eq!(pair(Secrets::two(secret("a"), secret("b"))), [b"a", b"b"]);
    }
}
