//! What may it: the roles of a realm. Every action asks the session's role and goes on with the
//! permit that it got. Called by `realm.rs`. Knows no session and no actor: a decision depends on
//! role, action and URI alone. Spec: "Authorization".
//!
//! Which rule decides is `rules.rs`; it is Crossbar's precedence, so that a configuration grants
//! here what it grants there.

mod permission; // a rule as configured
mod rules; //      which rule decides
mod permit; //     the proof that one allowed it

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use rewamp_wamp::id::SessionId;
use rewamp_wamp::uri::MatchPolicy;

pub use self::permission::{Allow, Disclose, Permission};
pub use self::permit::{CallPermit, PublishPermit, RegisterPermit, SubscribePermit};

use self::rules::{Grant, Rules};

/// The roles of one realm by name.
#[derive(Debug, Clone, Default)]
pub struct Roles(HashMap<ByteString, Arc<Role>>);

impl Roles {
    /// The role of that name; a session whose role the realm does not have cannot join.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Role>> {
        self.0.get(name)
    }
}

/// Of two roles with one name the later one counts.
impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(
            roles
                .into_iter()
                .map(|role| (role.name.clone(), Arc::new(role)))
                .collect(),
        )
    }
}

/// One role: its name and what sessions with it may do.
#[derive(Debug)]
pub struct Role {
    name: ByteString,
    rules: Rules,
}

impl Role {
    /// A role with these rules. What no rule speaks of is denied.
    pub fn with_permissions(name: impl Into<ByteString>, permissions: &[Permission]) -> Self {
        Self {
            name: name.into(),
            rules: Rules::compile(permissions, Grant::NOTHING),
        }
    }

    /// A role without rules, which may do everything or nothing: Crossbar's `allow-by-default`.
    /// Nobody is disclosed under it.
    pub fn without_permissions(name: impl Into<ByteString>, allow_by_default: bool) -> Self {
        let default = if allow_by_default {
            Grant::EVERYTHING
        } else {
            Grant::NOTHING
        };
        Self {
            name: name.into(),
            rules: Rules::compile(&[], default),
        }
    }

    /// The name, `WELCOME.Details.authrole`.
    #[must_use]
    pub fn name(&self) -> &ByteString {
        &self.name
    }

    /// May a session with this role publish to `topic`?
    ///
    /// # Errors
    /// [`NotAuthorized`]; so for the other three.
    pub fn may_publish<'a>(&self, topic: &'a str) -> Result<PublishPermit, NotAuthorized<'a>> {
        self.decide(Action::Publish, topic, MatchPolicy::Exact)
            .map(PublishPermit::of)
    }

    /// May it call `procedure`? The meta procedures are procedures like any other.
    pub fn may_call<'a>(&self, procedure: &'a str) -> Result<CallPermit, NotAuthorized<'a>> {
        self.decide(Action::Call, procedure, MatchPolicy::Exact)
            .map(CallPermit::of)
    }

    /// May it subscribe to the topics that `pattern` stands for? What counts is the pattern, not
    /// the topics: a rule for one of them neither allows nor denies the pattern.
    pub fn may_subscribe<'a>(
        &self,
        pattern: &'a str,
        policy: MatchPolicy,
    ) -> Result<SubscribePermit, NotAuthorized<'a>> {
        self.decide(Action::Subscribe, pattern, policy)
            .map(SubscribePermit::of)
    }

    /// May it register for the procedures that `pattern` stands for? As for subscriptions.
    pub fn may_register<'a>(
        &self,
        pattern: &'a str,
        policy: MatchPolicy,
    ) -> Result<RegisterPermit, NotAuthorized<'a>> {
        self.decide(Action::Register, pattern, policy)
            .map(RegisterPermit::of)
    }

    fn decide<'a>(
        &self,
        action: Action,
        uri: &'a str,
        policy: MatchPolicy,
    ) -> Result<Grant, NotAuthorized<'a>> {
        let grant = self.rules.decide(uri, policy);
        let allowed = match action {
            Action::Publish => grant.allow.publish,
            Action::Subscribe => grant.allow.subscribe,
            Action::Call => grant.allow.call,
            Action::Register => grant.allow.register,
        };
        if allowed {
            Ok(grant)
        } else {
            Err(NotAuthorized { action, uri })
        }
    }
}

/// What a session can ask to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// PUBLISH to a topic.
    Publish,
    /// SUBSCRIBE to a topic or pattern.
    Subscribe,
    /// CALL a procedure.
    Call,
    /// REGISTER a procedure or pattern.
    Register,
}

/// The role does not allow it: `wamp.error.not_authorized`. Costs nothing until it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAuthorized<'a> {
    /// What was asked.
    pub action: Action,
    /// The topic, procedure or pattern.
    pub uri: &'a str,
}

/// Who asked, for the text of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Its session ID.
    pub session: SessionId,
    /// Its authid.
    pub authid: &'a str,
    /// Its role.
    pub authrole: &'a str,
    /// Its realm.
    pub realm: &'a str,
}

impl NotAuthorized<'_> {
    /// The argument of the ERROR, as Crossbar words it.
    #[must_use]
    pub fn told_to(self, asker: &Asker<'_>) -> String {
        let Self { action, uri } = self;
        let what = match action {
            Action::Publish => {
                return format!("session not authorized to publish to topic '{uri}'");
            }
            Action::Subscribe => "subscribe to topic",
            Action::Call => "call procedure",
            Action::Register => "register procedure",
        };
        format!(
            "{asker} is not authorized to {what} \"{uri}\" on realm \"{}\"",
            asker.realm
        )
    }
}

impl fmt::Display for Asker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            session,
            authid,
            authrole,
            ..
        } = self;
        write!(
            f,
            "session (session_id={session}, authid=\"{authid}\", authrole=\"{authrole}\")"
        )
    }
}

#[cfg(test)]
mod tests;
