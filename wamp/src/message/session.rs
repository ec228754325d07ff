//! Messages that open, refuse and close a session, and ERROR. Spec: "Sessions",
//! "Authentication Methods".

use bytestring::ByteString;

use super::MessageType;
use crate::id::{RequestId, SessionId};
use crate::payload::Payload;
use crate::value::{Dict, Value};

/// `[1, Realm|uri, Details|dict]`, spec: "HELLO". Client to router.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// The realm to join.
    pub realm: ByteString,
    /// Who asks, and what it can do.
    pub details: Box<HelloDetails>,
}

/// `HELLO.Details`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HelloDetails {
    /// What the client is and can do.
    pub roles: Roles,
    /// Authentication methods that it offers, best first; empty if it names none.
    pub authmethods: Vec<ByteString>,
    /// As whom it wants to be authenticated.
    pub authid: Option<ByteString>,
    /// In which role.
    pub authrole: Option<ByteString>,
    /// What its authentication method needs besides.
    pub authextra: Option<Dict>,
    /// The client's software.
    pub agent: Option<ByteString>,
    /// All other keys.
    pub extra: Dict,
}

/// `[2, Session|id, Details|dict]`, spec: "WELCOME". Router to client.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    /// The session's ID.
    pub session: SessionId,
    /// What the router is, and as whom it knows the client.
    pub details: Box<WelcomeDetails>,
}

/// `WELCOME.Details`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WelcomeDetails {
    /// What the router is and can do.
    pub roles: Roles,
    /// The realm joined.
    pub realm: Option<ByteString>,
    /// As whom the client was authenticated.
    pub authid: Option<ByteString>,
    /// In which role.
    pub authrole: Option<ByteString>,
    /// By which method.
    pub authmethod: Option<ByteString>,
    /// Who vouches for it: `static`, `dynamic`, …
    pub authprovider: Option<ByteString>,
    /// What the method gives besides.
    pub authextra: Option<Dict>,
    /// The router's software.
    pub agent: Option<ByteString>,
    /// All other keys.
    pub extra: Dict,
}

/// `Details.roles` of HELLO and WELCOME: `{role: {features: {feature: true}}}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roles(Dict);

impl Roles {
    /// No role.
    pub const fn new() -> Self {
        Self(Dict::new())
    }

    /// As they are in a message.
    pub const fn from_dict(roles: Dict) -> Self {
        Self(roles)
    }

    /// As they are in a message.
    pub const fn as_dict(&self) -> &Dict {
        &self.0
    }

    /// With `role` and its `features` besides.
    #[must_use]
    pub fn with(mut self, role: &'static str, features: &[&'static str]) -> Self {
        let features: Dict = features
            .iter()
            .map(|name| (ByteString::from_static(name), true))
            .collect();
        let details = match features.is_empty() {
            true => Dict::new(),
            false => Dict::from([("features", features)]),
        };
        self.0.insert(ByteString::from_static(role), details);
        self
    }

    /// Whether the peer has the role.
    pub fn has(&self, role: &str) -> bool {
        self.0.get(role).is_some_and(|role| !role.is_null())
    }

    /// Whether the peer has that feature in that role.
    pub fn has_feature(&self, role: &str, feature: &str) -> bool {
        let features = self
            .0
            .get(role)
            .and_then(Value::as_map)
            .and_then(|role| role.get("features"));
        let feature = features
            .and_then(Value::as_map)
            .and_then(|features| features.get(feature));
        feature.and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `[3, Details|dict, Reason|uri, Arguments|list?, ArgumentsKw|dict?]`, spec: "ABORT". Either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    /// `message` tells people why.
    pub details: Dict,
    /// Why.
    pub reason: ByteString,
    /// More about it.
    pub payload: Payload,
}

/// `[4, AuthMethod|string, Extra|dict]`, spec: "CHALLENGE". Router to client.
#[derive(Debug, Clone, PartialEq)]
pub struct Challenge {
    /// The method that the router chose.
    pub method: ByteString,
    /// What the method asks.
    pub extra: Dict,
}

/// `[5, Signature|string, Extra|dict]`, spec: "AUTHENTICATE". Client to router.
#[derive(Clone, PartialEq)]
pub struct Authenticate {
    /// The answer to the challenge; with `ticket` the secret itself, hence not in `Debug`.
    pub signature: ByteString,
    /// What the method says besides.
    pub extra: Dict,
}

impl std::fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticate").finish_non_exhaustive()
    }
}

/// `[6, Details|dict, Reason|uri]`, spec: "GOODBYE". Either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Goodbye {
    /// `message` tells people why.
    pub details: Dict,
    /// Why.
    pub reason: ByteString,
}

/// `[8, REQUEST.Type|int, REQUEST.Request|id, Details|dict, Error|uri, Arguments|list?,
/// ArgumentsKw|dict?]`, spec: "ERROR". Either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What kind of request failed.
    pub request_type: MessageType,
    /// Which one.
    pub request: RequestId,
    /// More about the answer itself.
    pub details: Dict,
    /// What went wrong, see [`crate::error_uri`].
    pub error: ByteString,
    /// More about it.
    pub payload: Payload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_belongs_to_its_role() {
        let roles = Roles::new()
            .with("subscriber", &["event_history"])
            .with("caller", &[]);
        assert!(roles.has("caller") && roles.has("subscriber") && !roles.has("callee"));
        assert!(roles.has_feature("subscriber", "event_history"));
        assert!(!roles.has_feature("caller", "event_history"));
        assert_eq!(
            roles.as_dict().get("caller"),
            Some(&Value::Map(Dict::new()))
        );
    }

    #[test]
    fn a_secret_is_not_in_debug_output() {
        let message = Authenticate {
            signature: "secret123".into(),
            extra: Dict::new(),
        };
        assert!(!format!("{message:?}").contains("secret123"));
    }
}
