//! What somebody sees who logs in under an authid that does not exist: the same as everybody else.
//! Called by `wampcra.rs`. Spec: "Challenge Response Authentication", "Password Salting".
//!
//! A challenge shows a role and, for salted passwords, the salt. For an authid that nobody has,
//! both are drawn from the authid itself, so that asking again gives the same answer, as it would
//! for a real one; and they are modelled on one of the real users, so that they look alike.

use std::collections::BTreeSet;
use std::fmt;

use bytestring::ByteString;

use super::secret::{KeyedHash, digest, keyed};
use super::wampcra::{CraConfig, Salting};
use super::{AuthError, random};

/// Decides how the challenges for unknown users look. 32 bytes that only the router knows.
///
/// It must not be made from the users' secrets: decoy salts are seen by everybody, and one could
/// then try passwords on them at leisure.
#[derive(Clone)]
pub struct DecoyKey([u8; 32]);

impl DecoyKey {
    /// A key that was kept. Under a kept key an unknown user's salt survives a restart as a real
    /// user's does.
    #[must_use]
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A key for the life of this process.
    ///
    /// # Errors
    /// [`AuthError::NoRandomness`] when the system gives none.
    pub fn random() -> Result<Self, AuthError> {
        random().map(Self)
    }

    /// An independent key for one purpose.
    pub(super) fn derive(&self, purpose: &str) -> KeyedHash {
        keyed(&digest(&keyed(&self.0), &[purpose.as_bytes()]))
    }
}

impl fmt::Debug for DecoyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecoyKey(…)")
    }
}

/// The looks of a user who does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoy {
    pub(super) role: ByteString,
    pub(super) salting: Option<Salting>,
}

/// Draws decoys.
#[derive(Debug)]
pub(super) struct Decoys {
    key: KeyedHash,
    models: Vec<Model>,
    /// The characters of all real salts: a decoy's has no others.
    alphabet: Vec<char>,
}

/// A real user, as far as a challenge shows it.
#[derive(Debug)]
struct Model {
    role: ByteString,
    salting: Option<Salting>,
    /// Another user has the same salt. So has the decoy then, or it would be the odd one out.
    salt_is_shared: bool,
}

impl Decoys {
    pub(super) fn prepare(config: &CraConfig, key: &DecoyKey) -> Self {
        let salt_of = |salting: &Option<Salting>| salting.as_ref().map(|it| it.salt.clone());
        let mut seen = BTreeSet::new();
        let mut shared = BTreeSet::new();
        for salt in config
            .users
            .values()
            .filter_map(|user| salt_of(&user.salting))
        {
            if !seen.insert(salt.clone()) {
                shared.insert(salt);
            }
        }
        let models = config.users.values().map(|user| Model {
            role: user.role.clone(),
            salting: user.salting.clone(),
            salt_is_shared: salt_of(&user.salting).is_some_and(|salt| shared.contains(&salt)),
        });
        let characters: BTreeSet<char> = seen.iter().flat_map(|salt| salt.chars()).collect();
        Self {
            key: key.derive("decoy"),
            models: models.collect(),
            alphabet: characters.into_iter().collect(),
        }
    }

    /// How `authid` would look if it existed. The same authid always looks the same.
    pub(super) fn of(&self, authid: &str) -> Decoy {
        let choice = self.words("model", authid).next().unwrap_or_default();
        let Some(model) = pick(&self.models, choice) else {
            return Decoy {
                role: ByteString::new(),
                salting: None,
            };
        };
        let salting = model.salting.as_ref().map(|real| Salting {
            salt: if model.salt_is_shared {
                real.salt.clone()
            } else {
                self.salt(authid, real)
            },
            ..*real
        });
        Decoy {
            role: model.role.clone(),
            salting,
        }
    }

    fn salt(&self, authid: &str, real: &Salting) -> ByteString {
        let draw = |word| pick(&self.alphabet, word).copied();
        let length = real.salt.chars().count();
        self.words("salt", authid)
            .take(length)
            .filter_map(draw)
            .collect::<String>()
            .into()
    }

    /// An endless row of numbers, the same for the same purpose and authid.
    fn words(&self, purpose: &str, authid: &str) -> impl Iterator<Item = u64> {
        (0_u64..).flat_map(move |block| {
            let parts = [
                purpose.as_bytes(),
                &[0],
                &block.to_be_bytes(),
                authid.as_bytes(),
            ];
            let bytes = digest(&self.key, &parts);
            let word = |eight: &[u8]| {
                eight
                    .iter()
                    .fold(0, |word, &byte| word << 8 | u64::from(byte))
            };
            bytes.chunks_exact(8).map(word).collect::<Vec<u64>>()
        })
    }
}

/// One of `choices`. With 64 bits per choice, that the first ones are likelier cannot be noticed.
fn pick<T>(choices: &[T], word: u64) -> Option<&T> {
    let count = u64::try_from(choices.len()).ok()?;
    let index = word.checked_rem(count)?;
    choices.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use super::super::{CraUser, Secret, Secrets};
    use super::*;

    /// Users with these salts; one without salting where there is none.
    fn decoys(salts: &[Option<&'static str>], key: u8) -> Decoys {
        let user = |(index, salt): (usize, &Option<&'static str>)| {
            let salting = salt.map(|salt| Salting {
                salt: salt.into(),
                iterations: NonZeroU32::new(1000).unwrap(),
                keylen: NonZeroU16::new(32).unwrap(),
            });
            let secrets = Secrets::one(Secret::new(format!("secret{index}")).unwrap());
            (
                format!("user{index}"),
                CraUser {
                    secrets,
                    role: format!("role{index}").into(),
                    salting,
                },
            )
        };
        let users = salts.iter().enumerate().map(user).collect();
        Decoys::prepare(&CraConfig { users }, &DecoyKey::from_bytes([key; 32]))
    }

    fn salt_of(decoy: &Decoy) -> Option<&str> {
        decoy.salting.as_ref().map(|salting| &*salting.salt)
    }

    #[test]
    fn one_authid_always_looks_the_same() {
        let salts = [Some("0f3a99c2"), Some("77b01dee"), None];
        for authid in ["eve", "mallory", ""] {
            // The second router has the same key and configuration: it is the first, restarted.
            assert_eq!(decoys(&salts, 1).of(authid), decoys(&salts, 1).of(authid));
        }
    }

    #[test]
    fn another_router_draws_other_salts() {
        let salts = [Some("0f3a99c2")];
        assert_ne!(decoys(&salts, 1).of("eve"), decoys(&salts, 2).of("eve"));
    }

    #[test]
    fn two_authids_have_two_salts() {
        let decoys = decoys(&[Some("0f3a99c2d41e88b7")], 1);
        assert_ne!(salt_of(&decoys.of("eve")), salt_of(&decoys.of("mallory")));
    }

    #[test]
    fn a_decoy_looks_like_one_of_the_users() {
        let salts = [Some("0f3a99c2"), Some("77b01dee55"), None];
        let decoys = decoys(&salts, 1);
        let mut models_seen = BTreeSet::new();
        for number in 0..200 {
            let decoy = decoys.of(&format!("nobody{number}"));
            let model = (0..3)
                .find(|index| decoy.role == format!("role{index}"))
                .unwrap();
            models_seen.insert(model);
            assert_eq!(salt_of(&decoy).map(str::len), salts[model].map(str::len));
            let alphabet: String = salts.iter().flatten().copied().collect();
            assert!(
                salt_of(&decoy)
                    .unwrap_or("")
                    .chars()
                    .all(|drawn| alphabet.contains(drawn))
            );
            assert!(
                salts
                    .iter()
                    .all(|real| real.is_none() || salt_of(&decoy) != *real)
            );
        }
        assert_eq!(models_seen.len(), 3, "every user is a model of some");
    }

    #[test]
    fn where_users_share_a_salt_decoys_share_it_too() {
        let decoys = decoys(&[Some("salt123"), Some("salt123")], 1);
        assert_eq!(salt_of(&decoys.of("eve")), Some("salt123"));
    }

    #[test]
    fn long_salts_do_not_repeat_themselves() {
        let real: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let decoy = decoys(&[Some(real)], 1).of("eve");
        let salt = salt_of(&decoy).unwrap();
        assert_eq!(salt.len(), 64);
        assert_ne!(salt[..4], salt[4..8]);
        assert_ne!(salt[..32], salt[32..]);
    }

    #[test]
    fn without_users_there_is_nothing_to_look_like() {
        assert_eq!(
            decoys(&[], 1).of("eve"),
            Decoy {
                role: "".into(),
                salting: None
            }
        );
    }
}
