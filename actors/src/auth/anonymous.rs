//! Method `anonymous`: everybody is let in under one role. Called by `auth.rs`.
//! Spec: "Security Model" (a router may let clients join without authentication).

use bytestring::ByteString;

use super::{AuthError, AuthMethod, Identity, random};

/// Under which identity anonymous sessions join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnonymousConfig {
    /// The role of every anonymous session.
    pub role: ByteString,
    /// The authid of every anonymous session; without one each session gets a random one.
    pub authid: Option<ByteString>,
    /// The realm that anonymous sessions join, whichever they ask for; without one they choose.
    pub realm: Option<ByteString>,
}

impl AnonymousConfig {
    /// A random authid per session, a realm of the client's choice, and this role.
    pub fn role(role: impl Into<ByteString>) -> Self {
        Self {
            role: role.into(),
            authid: None,
            realm: None,
        }
    }

    pub(super) fn admit(&self) -> Result<Identity, AuthError> {
        let authid = match &self.authid {
            Some(authid) => authid.clone(),
            None => random_authid()?,
        };
        Ok(Identity {
            authid,
            authrole: self.role.clone(),
            method: AuthMethod::Anonymous,
            realm: self.realm.clone(),
        })
    }
}

/// Digits and capitals without those that people confuse: `0 O D`, `1 I`, `8 B`, `2 Z`.
const ALPHABET: &[u8; 27] = b"345679ACEFGHJKLMNPQRSTUVWXY";

/// 24 characters carry 114 bits, so that two sessions never get the same authid by chance.
const CHARACTERS: usize = 24;

/// An authid as Crossbar draws them: `YRAC-EL4X-FQQE-AW4T-WNUV-VN6T`.
fn random_authid() -> Result<ByteString, AuthError> {
    let mut authid = String::with_capacity(CHARACTERS + CHARACTERS / 4);
    let mut drawn = 0;
    while drawn < CHARACTERS {
        for byte in random::<32>()? {
            // 243 is 9 × 27: a byte from 243 up would make some characters likelier than others.
            let character = ALPHABET.get(usize::from(byte % 27)).filter(|_| byte < 243);
            let Some(&character) = character.filter(|_| drawn < CHARACTERS) else {
                continue;
            };
            if drawn > 0 && drawn % 4 == 0 {
                authid.push('-');
            }
            authid.push(char::from(character));
            drawn += 1;
        }
    }
    Ok(authid.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_random_authid_has_six_groups_of_four() {
        for _ in 0..100 {
            let authid = random_authid().unwrap();
            let groups: Vec<&str> = authid.split('-').collect();
            assert_eq!(groups.len(), 6, "{authid}");
            for group in groups {
                assert_eq!(group.len(), 4, "{authid}");
                assert!(
                    group.bytes().all(|byte| ALPHABET.contains(&byte)),
                    "{authid}"
                );
            }
        }
    }

    #[test]
    fn no_two_sessions_get_the_same_random_authid() {
        let config = AnonymousConfig::role("guest");
        let drawn: HashSet<_> = (0..1000).map(|_| config.admit().unwrap().authid).collect();
        assert_eq!(drawn.len(), 1000);
    }

    #[test]
    fn what_is_configured_is_assigned() {
        let config = AnonymousConfig {
            role: "guest".into(),
            authid: Some("visitor".into()),
            realm: Some("lobby".into()),
        };
        let identity = config.admit().unwrap();
        assert_eq!(identity.authid, "visitor");
        assert_eq!(identity.authrole, "guest");
        assert_eq!(identity.realm.as_deref(), Some("lobby"));
        assert_eq!(identity.method, AuthMethod::Anonymous);
    }
}
