//! Method `wampcra`: the client proves that it knows a secret without showing it. Called by
//! `auth.rs`. Spec: "Challenge Response Authentication".

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU16, NonZeroU32};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytestring::ByteString;
use jiff::Timestamp;
use rewamp_wamp::id::SessionId;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::decoy::{DecoyKey, Decoys};
use super::secret::{KeyedHash, Secret, Secrets, digest, keyed};
use super::{AuthError, AuthMethod, Identity, random};

/// Who may log in with WAMP-CRA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CraConfig {
    /// The users by authid.
    pub users: BTreeMap<String, CraUser>,
}

/// One user of method `wampcra`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CraUser {
    /// The one or two secrets that are valid: the plain ones, also where the client salts them.
    pub secrets: Secrets,
    /// The role that the session gets.
    pub role: ByteString,
    /// How the client makes the shared key from what the user types; without it the secret itself
    /// is the key.
    pub salting: Option<Salting>,
}

/// PBKDF2-HMAC-SHA256 as the challenge asks for it. Spec: "Password Salting".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salting {
    /// The salt, which every client that asks under this authid gets to see.
    pub salt: ByteString,
    /// Rounds of the key derivation.
    pub iterations: NonZeroU32,
    /// Bytes of the derived key.
    pub keylen: NonZeroU16,
}

/// The users as they are asked at login: keys derived, decoys at hand.
#[derive(Debug)]
pub(super) struct Accounts {
    accounts: HashMap<Box<str>, Account>,
    decoys: Decoys,
    /// Keys of the users who do not exist. Nothing signed with them is ever accepted.
    nobody: [KeyedHash; 2],
}

#[derive(Debug, Clone)]
struct Account {
    role: ByteString,
    salting: Option<Salting>,
    keys: [KeyedHash; 2],
    exists: bool,
}

/// A challenge that a client was given and owes the signature of.
#[derive(Debug)]
pub(super) struct ExpectedSignature {
    challenge: String,
    keys: [KeyedHash; 2],
    exists: bool,
}

/// What CHALLENGE carries for this method.
#[derive(Debug)]
pub(super) struct CraChallenge {
    /// The text to sign.
    pub(super) challenge: String,
    pub(super) salting: Option<Salting>,
}

impl Accounts {
    /// Derives every key: `iterations` rounds per salted secret, milliseconds each.
    pub(super) fn prepare(config: &CraConfig, key: &DecoyKey) -> Self {
        let account = |user: &CraUser| Account {
            role: user.role.clone(),
            salting: user.salting.clone(),
            keys: user
                .secrets
                .pair(|secret| signing_key(secret, user.salting.as_ref())),
            exists: true,
        };
        let accounts = config
            .users
            .iter()
            .map(|(authid, user)| (authid.as_str().into(), account(user)))
            .collect();
        let nobody = key.derive("nobody");
        Self {
            accounts,
            decoys: Decoys::prepare(config, key),
            nobody: [nobody.clone(), nobody],
        }
    }

    /// The challenge for `authid`, whether or not there is such a user.
    ///
    /// # Errors
    /// [`AuthError::NoRandomness`].
    pub(super) fn challenge(
        &self,
        authid: &str,
        session: SessionId,
        now: Timestamp,
    ) -> Result<(Identity, CraChallenge, ExpectedSignature), AuthError> {
        let nonce = URL_SAFE_NO_PAD.encode(random::<32>()?);
        let Account {
            role,
            salting,
            keys,
            exists,
        } = self.account(authid);
        let identity = Identity {
            authid: authid.into(),
            authrole: role,
            method: AuthMethod::WampCra,
            realm: None,
        };
        let challenge = challenge_text(&identity, session, now, &nonce);
        let expected = ExpectedSignature {
            challenge: challenge.clone(),
            keys,
            exists,
        };
        Ok((identity, CraChallenge { challenge, salting }, expected))
    }

    /// The account, or one that looks like it. The decoy is drawn either way, so that the answer
    /// takes as long for those who exist.
    fn account(&self, authid: &str) -> Account {
        let decoy = self.decoys.of(authid);
        self.accounts
            .get(authid)
            .cloned()
            .unwrap_or_else(|| Account {
                role: decoy.role,
                salting: decoy.salting,
                keys: self.nobody.clone(),
                exists: false,
            })
    }
}

impl ExpectedSignature {
    /// Is this the base64 of the challenge's HMAC-SHA256 under one of the keys?
    pub(super) fn is(&self, signature: &str) -> bool {
        let [first, second] = &self.keys;
        let signed_with = |key| {
            sign(key, &self.challenge)
                .as_bytes()
                .ct_eq(signature.as_bytes())
        };
        let valid = signed_with(first) | signed_with(second);
        (valid & Choice::from(u8::from(self.exists))).into()
    }
}

/// The text that the client signs: a JSON object, spec "CHALLENGE.Details.challenge".
fn challenge_text(identity: &Identity, session: SessionId, now: Timestamp, nonce: &str) -> String {
    serde_json::json!({
        "authid": &*identity.authid,
        "authrole": &*identity.authrole,
        "authmethod": identity.method.name(),
        "authprovider": identity.provider(),
        "session": session.get(),
        "nonce": nonce,
        "timestamp": format!("{now:.3}"),
    })
    .to_string()
}

/// The key that client and router share. Of a salted password it is the *base64 text* of the
/// derived bytes, which is what all client libraries sign with.
fn signing_key(secret: &Secret, salting: Option<&Salting>) -> KeyedHash {
    let Some(Salting {
        salt,
        iterations,
        keylen,
    }) = salting
    else {
        return keyed(secret.as_bytes());
    };
    let mut derived = vec![0; usize::from(keylen.get())];
    pbkdf2::pbkdf2_hmac::<Sha256>(
        secret.as_bytes(),
        salt.as_bytes(),
        iterations.get(),
        &mut derived,
    );
    keyed(STANDARD.encode(derived).as_bytes())
}

fn sign(key: &KeyedHash, challenge: &str) -> String {
    STANDARD.encode(digest(key, &[challenge.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text).unwrap()
    }

    fn salting(salt: &'static str, iterations: u32, keylen: u16) -> Salting {
        Salting {
            salt: salt.into(),
            iterations: NonZeroU32::new(iterations).unwrap(),
            keylen: NonZeroU16::new(keylen).unwrap(),
        }
    }

    fn user(secrets: Secrets, salting: Option<Salting>) -> CraUser {
        CraUser {
            secrets,
            role: "user".into(),
            salting,
        }
    }

    fn accounts() -> Accounts {
        let salted = || Some(salting("salt123", 100, 16));
        let users = BTreeMap::from([
            (
                "peter".to_owned(),
                user(Secrets::one(secret("secret1")), None),
            ),
            (
                "joe".to_owned(),
                user(Secrets::one(secret("secret2")), salted()),
            ),
            (
                "ann".to_owned(),
                user(Secrets::two(secret("new"), secret("old")), salted()),
            ),
        ]);
        Accounts::prepare(&CraConfig { users }, &DecoyKey::from_bytes([7; 32]))
    }

    fn challenge(authid: &str) -> (Identity, CraChallenge, ExpectedSignature) {
        let now = Timestamp::from_millisecond(1_403_455_085_448).unwrap();
        let session = SessionId::new(3_251_278_072_152_162).unwrap();
        accounts().challenge(authid, session, now).unwrap()
    }

    /// Signatures computed by Autobahn|Python 26.10 over this challenge.
    #[test]
    fn signatures_are_those_of_autobahn() {
        const CHALLENGE: &str = concat!(
            r#"{"nonce": "LHRTC9zeOIrt_9U3", "authprovider": "userdb", "authid": "peter", "#,
            r#""timestamp": "2014-06-22T16:36:25.448Z", "authrole": "user", "#,
            r#""authmethod": "wampcra", "session": 3251278072152162}"#
        );
        let check = |text: &str, salting: Option<Salting>, signature: &str| {
            let key = signing_key(&secret(text), salting.as_ref());
            assert_eq!(sign(&key, CHALLENGE), signature, "{text:?} {salting:?}");
        };
        let long = "x".repeat(200);
        check(
            "secret1",
            None,
            "vb/MUq65p6Xs4P09HfsDI4VmI8HWO3whf0vNe4IdogQ=",
        );
        check(
            "prq7+YkJ1/KlW1X0YczMHw==",
            None,
            "KSjvsv81QFaEUgPoW6k5ylRnmH3ycgMy3TgOMtWr0UQ=",
        );
        check(
            "pässwörd ✓",
            None,
            "ptbaEgTXiUsilWBKKaGnbkL7B5q8NbDqOe55uIlztAU=",
        );
        check(&long, None, "PFUJFMf52J18frRTXQBlSfTcAQI+oiiJmDr2xwVqAp8=");
        let check = |text: &str, salting, signature| check(text, Some(salting), signature);
        let (with_16, with_32) = (salting("salt123", 100, 16), salting("salt123", 1000, 32));
        check(
            "secret2",
            with_16,
            "pRGMG6N2ibE6rAvAgXob/RNB9v90qcmXdQkBX02Pwzg=",
        );
        check(
            "secret2",
            with_32,
            "2ycIjnNUDs+mspRScXGRa5CDAf0VNFJoKzJuK14AdhY=",
        );
        let (with_33, with_1) = (salting("sälz", 7, 33), salting("salt123", 1, 1));
        check(
            "pässwörd ✓",
            with_33,
            "6ICdI9dtFS2GdTkgP/DvqOqb1dN/9waMAY+GvkxIsA4=",
        );
        check(
            &long,
            with_1,
            "DxuYv3xQoO+8w5H55H9qZ5oFndJZ3zdiMaEGfwQqeeQ=",
        );
    }

    #[test]
    fn a_challenge_says_all_that_the_spec_asks_for() {
        let (_, CraChallenge { challenge, .. }, _) = challenge("peter");
        let said: serde_json::Value = serde_json::from_str(&challenge).unwrap();
        assert_eq!(said["authid"], "peter");
        assert_eq!(said["authrole"], "user");
        assert_eq!(said["authmethod"], "wampcra");
        assert_eq!(said["authprovider"], "static");
        assert_eq!(said["session"], 3_251_278_072_152_162_u64);
        assert_eq!(said["timestamp"], "2014-06-22T16:38:05.448Z");
        assert_eq!(said["nonce"].as_str().map(str::len), Some(43));
    }

    #[test]
    fn no_challenge_is_given_twice() {
        assert_ne!(
            challenge("peter").1.challenge,
            challenge("peter").1.challenge
        );
    }

    /// Does a client that knows `text` get in as `authid`?
    fn check(authid: &str, text: &str, valid: bool) {
        let (identity, CraChallenge { challenge, salting }, expected) = challenge(authid);
        assert_eq!(identity.authid, authid);
        let signature = sign(&signing_key(&secret(text), salting.as_ref()), &challenge);
        assert_eq!(expected.is(&signature), valid, "{authid} with {text:?}");
    }

    #[test]
    fn a_user_enters_with_its_own_secret_alone() {
        check("peter", "secret1", true);
        check("peter", "secret2", false);
        check("joe", "secret2", true);
        check("joe", "secret1", false);
    }

    #[test]
    fn two_secrets_are_valid_while_they_are_exchanged() {
        check("ann", "new", true);
        check("ann", "old", true);
        check("ann", "older", false);
    }

    #[test]
    fn who_does_not_exist_enters_with_nothing() {
        for text in ["secret1", "secret2", "new", "\0"] {
            check("eve", text, false);
            check("", text, false);
        }
        // Not even with the key that the router itself uses for them.
        let (_, CraChallenge { challenge, .. }, expected) = challenge("eve");
        assert!(!expected.is(&sign(&accounts().nobody[0], &challenge)));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let (_, CraChallenge { challenge, .. }, expected) = challenge("peter");
        let good = sign(&keyed(b"secret1"), &challenge);
        assert!(expected.is(&good));
        for bad in [
            "",
            "=",
            "secret1",
            &good[1..],
            &format!("{good}="),
            &good.to_lowercase(),
        ] {
            assert!(!expected.is(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_authid_with_quotes_stays_one_text() {
        let authid = "a\",\"authrole\":\"admin";
        let said: serde_json::Value = serde_json::from_str(&challenge(authid).1.challenge).unwrap();
        assert_eq!(said["authid"], authid);
        assert_ne!(said["authrole"], "admin");
    }
}
