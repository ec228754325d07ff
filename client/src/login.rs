//! Who asks to be let in: `anonymous`, or with a secret by `ticket` or `wampcra`, whichever the
//! router asks for. Spec: "Authentication Methods".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytestring::ByteString;
use hmac::{Hmac, Mac as _};
use rewamp_wamp::message::{Authenticate, Challenge};
use rewamp_wamp::value::{Dict, Value};
use sha2::Sha256;

use crate::fault::ClientError;

/// Rounds of a salted secret that a router may ask for: a million take a second.
const MOST_ITERATIONS: u64 = 10_000_000;

/// Who asks to be let in, and where.
#[derive(Clone)]
pub struct Login {
    /// The realm to join.
    pub realm: ByteString,
    /// As whom; anonymously without.
    pub authid: Option<ByteString>,
    /// The ticket, or the secret of `wampcra`.
    pub secret: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("realm", &self.realm)
            .field("authid", &self.authid)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// What is offered.
    pub(crate) fn methods(&self) -> Vec<ByteString> {
        let methods: &[&'static str] = match self.secret {
            Some(_) => &["wampcra", "ticket"],
            None => &["anonymous"],
        };
        methods
            .iter()
            .map(|method| ByteString::from_static(method))
            .collect()
    }

    /// The answer to a challenge.
    pub(crate) fn answer(&self, challenge: &Challenge) -> Result<Authenticate, ClientError> {
        let method = &*challenge.method;
        let secret = self.secret.as_deref().ok_or_else(|| {
            ClientError::Login(format!(
                "the router asks for `{method}`, and there is no secret"
            ))
        })?;
        let signature = match method {
            "ticket" => secret.to_owned(),
            "wampcra" => sign(secret, &challenge.extra)?,
            other => {
                return Err(ClientError::Login(format!(
                    "the router asks for `{other}`; known are ticket and wampcra"
                )));
            }
        };
        Ok(Authenticate {
            signature: signature.into(),
            extra: Dict::new(),
        })
    }
}

fn sign(secret: &str, extra: &Dict) -> Result<String, ClientError> {
    let text = |key: &str| extra.get(key).and_then(Value::as_str);
    let number =
        |key: &str, default: u64| extra.get(key).and_then(Value::as_u64).unwrap_or(default);
    let challenge = text("challenge")
        .ok_or_else(|| ClientError::Login("the challenge has no text to be signed".to_owned()))?;
    let key = match text("salt") {
        Some(salt) => {
            let iterations = number("iterations", 1_000);
            let length = number("keylen", 32);
            if !(1..=MOST_ITERATIONS).contains(&iterations) || !(1..=1_024).contains(&length) {
                return Err(ClientError::Login(format!(
                    "the router asks for {iterations} rounds and a key of {length} bytes"
                )));
            }
            let mut key = vec![0; length as usize];
            pbkdf2::pbkdf2_hmac::<Sha256>(
                secret.as_bytes(),
                salt.as_bytes(),
                iterations as u32,
                &mut key,
            );
            BASE64.encode(key)
        }
        None => secret.to_owned(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|error| ClientError::Login(error.to_string()))?;
    mac.update(challenge.as_bytes());
    Ok(BASE64.encode(mac.finalize().into_bytes()))
}
