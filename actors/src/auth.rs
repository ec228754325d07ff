//! Who is it: a HELLO becomes a verdict, and after a CHALLENGE an AUTHENTICATE becomes an identity.
//! Called by the session while it joins. Pure: knows no socket, no realm and no clock; whether the
//! realm and the role exist, and how long a client may take to answer, is the session's business.
//! Spec: "Authentication Methods".
//!
//! ```text
//! HELLO ─ Authenticators::hello ─┬─ Accept(Identity) ─────────────────────────────── WELCOME
//!                                ├─ Challenge ─ AUTHENTICATE ─ PendingChallenge::verify ─┘ │
//!                                └─ Reject(AuthError) ──────────────────────────────── ABORT
//! ```
//!
//! Whoever asks cannot learn which authids exist: a wrong secret and an unknown authid get the same
//! CHALLENGE, the same ABORT with the same text, after the same work.

mod anonymous; // everybody, under one role
mod ticket; // shows a secret
mod wampcra; // proves that it knows a secret
mod decoy; // what those see who do not exist
mod secret;

use bytestring::ByteString;
use jiff::Timestamp;
use rewamp_wamp::error_uri;
use rewamp_wamp::id::SessionId;
use rewamp_wamp::value::Dict;
use thiserror::Error;

pub use self::anonymous::AnonymousConfig;
pub use self::decoy::DecoyKey;
pub use self::secret::{MAX_SECRET_BYTES, Secret, SecretError, Secrets};
pub use self::ticket::{TicketConfig, TicketPrincipal};
pub use self::wampcra::{CraConfig, CraUser, Salting};

use self::ticket::{ExpectedTicket, Tickets};
use self::wampcra::{Accounts, CraChallenge, ExpectedSignature};

/// The authentication of one transport, as configured. A method that is `None` is not offered;
/// with none at all nobody gets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// Method `anonymous`.
    pub anonymous: Option<AnonymousConfig>,
    /// Method `ticket`.
    pub ticket: Option<TicketConfig>,
    /// Method `wampcra`.
    pub wampcra: Option<CraConfig>,
}

impl AuthConfig {
    /// Everybody may join, under the role `anonymous`: what holds for a transport without `auth`.
    #[must_use]
    pub fn open() -> Self {
        Self {
            anonymous: Some(AnonymousConfig::role("anonymous")),
            ..Self::default()
        }
    }
}

/// Bytes of an authid at login; a longer one is refused. 1,024, as for URIs: where it is disclosed
/// every EVENT carries it.
pub const MAX_AUTHID_BYTES: usize = 1024;

/// A method of authentication that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// `anonymous`
    Anonymous,
    /// `ticket`
    Ticket,
    /// `wampcra`
    WampCra,
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Anonymous, Self::Ticket, Self::WampCra];

    /// The name on the wire: in `HELLO.Details.authmethods`, `CHALLENGE.AuthMethod` and
    /// `WELCOME.Details.authmethod`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Ticket => "ticket",
            Self::WampCra => "wampcra",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// Who a session is, once that is settled: what WELCOME tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `WELCOME.Details.authid`
    pub authid: ByteString,
    /// `WELCOME.Details.authrole`. Not checked against the realm's roles.
    pub authrole: ByteString,
    /// `WELCOME.Details.authmethod`
    pub method: AuthMethod,
    /// The realm to join instead of the one that was asked for.
    pub realm: Option<ByteString>,
}

impl Identity {
    /// `WELCOME.Details.authprovider`: where the principals come from.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        "static"
    }
}

/// What a HELLO leads to.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// WELCOME.
    Accept(Identity),
    /// CHALLENGE with this method and `Extra`. The pending challenge takes the answer.
    Challenge {
        /// `CHALLENGE.AuthMethod`
        method: AuthMethod,
        /// `CHALLENGE.Extra`
        extra: Dict,
        /// What the answer will be held against.
        pending: PendingChallenge,
    },
    /// ABORT.
    Reject(AuthError),
}

/// Why a client did not get in. [`AuthError::uri`] is the reason of the ABORT, `Display` its
/// message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The client offers no method that this transport has.
    #[error("none of the offered authmethods is accepted here, which takes {}", names(.accepted))]
    NoMethod {
        /// The methods that this transport has.
        accepted: Vec<AuthMethod>,
    },
    /// The method needs to know who the client says it is.
    #[error("authmethod `{}` needs an authid, and HELLO has none", .0.name())]
    NoAuthid(AuthMethod),
    /// The authid has more than [`MAX_AUTHID_BYTES`].
    #[error("the authid has {bytes} bytes, {MAX_AUTHID_BYTES} are allowed")]
    AuthidTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The secret is wrong or there is no such principal; nothing tells which.
    #[error("the authid or what was shown for it is not valid")]
    Denied,
    /// The system has no randomness to give. Not the client's fault.
    #[error("the router cannot draw a random number")]
    NoRandomness,
}

impl AuthError {
    /// `ABORT.Reason`.
    #[must_use]
    pub fn uri(&self) -> &'static str {
        match self {
            Self::NoMethod { .. } => error_uri::NO_AUTH_METHOD,
            Self::NoAuthid(_) | Self::AuthidTooLong { .. } | Self::Denied => {
                error_uri::NOT_AUTHORIZED
            }
            Self::NoRandomness => error_uri::AUTHENTICATION_FAILED,
        }
    }
}

/// The methods of one transport, ready to be asked.
#[derive(Debug)]
pub struct Authenticators {
    anonymous: Option<AnonymousConfig>,
    ticket: Option<Tickets>,
    wampcra: Option<Accounts>,
}

/// A session that was challenged. It has one try.
#[derive(Debug)]
pub struct PendingChallenge {
    identity: Identity,
    expected: Box<Expected>,
}

#[derive(Debug)]
enum Expected {
    Ticket(ExpectedTicket),
    Signature(ExpectedSignature),
}

impl Authenticators {
    /// Derives the keys of all salted secrets, which takes milliseconds each: for the start of the
    /// node, never for a login.
    #[must_use]
    pub fn prepare(config: AuthConfig, key: &DecoyKey) -> Self {
        Self {
            anonymous: config.anonymous,
            ticket: config.ticket.map(|ticket| Tickets::prepare(&ticket, key)),
            wampcra: config
                .wampcra
                .map(|wampcra| Accounts::prepare(&wampcra, key)),
        }
    }

    /// Takes the first of the client's `authmethods` that this transport has; names that it does
    /// not know are passed over. A client that names none wants to be anonymous.
    ///
    /// `session` is the ID that the session will have, `now` is nanoseconds since 1970.
    pub fn hello(
        &self,
        authmethods: &[ByteString],
        authid: Option<&str>,
        session: SessionId,
        now: u64,
    ) -> Verdict {
        self.choose(authmethods, authid, session, now)
            .unwrap_or_else(Verdict::Reject)
    }

    fn choose(
        &self,
        authmethods: &[ByteString],
        authid: Option<&str>,
        session: SessionId,
        now: u64,
    ) -> Result<Verdict, AuthError> {
        let anonymous = [ByteString::from_static("anonymous")];
        let offered = if authmethods.is_empty() {
            &anonymous
        } else {
            authmethods
        };
        for method in offered
            .iter()
            .filter_map(|name| AuthMethod::from_name(name))
        {
            let authid = || match authid {
                None => Err(AuthError::NoAuthid(method)),
                Some(authid) if authid.len() > MAX_AUTHID_BYTES => Err(AuthError::AuthidTooLong {
                    bytes: authid.len(),
                }),
                Some(authid) => Ok(authid),
            };
            match method {
                AuthMethod::Anonymous => {
                    let Some(anonymous) = &self.anonymous else {
                        continue;
                    };
                    return anonymous.admit().map(Verdict::Accept);
                }
                AuthMethod::Ticket => {
                    let Some(tickets) = &self.ticket else {
                        continue;
                    };
                    return Ok(ticket_challenge(tickets, authid()?));
                }
                AuthMethod::WampCra => {
                    let Some(accounts) = &self.wampcra else {
                        continue;
                    };
                    return cra_challenge(accounts, authid()?, session, now);
                }
            }
        }
        Err(AuthError::NoMethod {
            accepted: self.accepted(),
        })
    }

    fn accepted(&self) -> Vec<AuthMethod> {
        let is_accepted = |method: &AuthMethod| match method {
            AuthMethod::Anonymous => self.anonymous.is_some(),
            AuthMethod::Ticket => self.ticket.is_some(),
            AuthMethod::WampCra => self.wampcra.is_some(),
        };
        AuthMethod::ALL.into_iter().filter(is_accepted).collect()
    }
}

impl PendingChallenge {
    fn new(identity: Identity, expected: Expected) -> Self {
        Self {
            identity,
            expected: Box::new(expected),
        }
    }

    /// Judges `AUTHENTICATE.Signature`.
    ///
    /// # Errors
    /// [`AuthError::Denied`], be it the secret or the authid that is wrong.
    pub fn verify(self, signature: &str) -> Result<Identity, AuthError> {
        let valid = match &*self.expected {
            Expected::Ticket(expected) => expected.is(signature),
            Expected::Signature(expected) => expected.is(signature),
        };
        if valid {
            Ok(self.identity)
        } else {
            Err(AuthError::Denied)
        }
    }
}

fn ticket_challenge(tickets: &Tickets, authid: &str) -> Verdict {
    let (identity, expected) = tickets.expect(authid);
    Verdict::Challenge {
        method: AuthMethod::Ticket,
        extra: Dict::default(),
        pending: PendingChallenge::new(identity, Expected::Ticket(expected)),
    }
}

fn cra_challenge(
    accounts: &Accounts,
    authid: &str,
    session: SessionId,
    now: u64,
) -> Result<Verdict, AuthError> {
    let now = Timestamp::from_nanosecond(i128::from(now)).unwrap_or_default();
    let (identity, CraChallenge { challenge, salting }, expected) =
        accounts.challenge(authid, session, now)?;
    let mut extra = Dict::from([("challenge", challenge)]);
    if let Some(Salting {
        salt,
        iterations,
        keylen,
    }) = salting
    {
        extra.insert("salt", salt);
        extra.insert("iterations", u64::from(iterations.get()));
        extra.insert("keylen", u64::from(keylen.get()));
    }
    Ok(Verdict::Challenge {
        method: AuthMethod::WampCra,
        extra,
        pending: PendingChallenge::new(identity, Expected::Signature(expected)),
    })
}

fn names(methods: &[AuthMethod]) -> String {
    if methods.is_empty() {
        return "none".to_owned();
    }
    methods
        .iter()
        .map(|method| method.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Random bytes for nonces, keys and names.
fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AuthError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
