//! The handshake: from HELLO to a realm, by way of a challenge where the method has one.
//! Spec: "Session Establishment", "Authentication Methods".

use std::sync::Arc;

use log::info;
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RandomIds, SessionId};
use rewamp_wamp::message::{Challenge, Hello, Message as WampMessage};

use super::{Session, SessionDetails, State, Violation};
use crate::auth::{AuthError, Identity, PendingChallenge, Verdict};
use crate::metrics::Id;
use crate::realm::messages::Join;
use crate::router::RealmHandle;

/// A client that has been challenged and has not answered.
pub(super) struct Challenged {
    pub(super) realm: RealmHandle,
    hello: Hello,
    id: SessionId,
    pending: PendingChallenge,
}

impl Session {
    /// A message before there is a session.
    pub(super) fn opening(&mut self, message: WampMessage) -> Result<(), Violation> {
        self.state = State::Opening;
        match message {
            WampMessage::Hello(hello) => self.hello(hello),
            other => {
                let name = other.message_type().name();
                Err(Violation::protocol(format!("{name} before HELLO")))
            }
        }
    }

    fn hello(&mut self, hello: Hello) -> Result<(), Violation> {
        let realm = self.realm(&hello.realm)?;
        let id = RandomIds::from_os()
            .map_err(|_| refused(&AuthError::NoRandomness))?
            .draw::<rewamp_wamp::id::kind::Session>();
        let details = &hello.details;
        let authid = details.authid.as_deref();
        let now = self.connection.clock.now();
        match self
            .connection
            .auth
            .hello(&details.authmethods, authid, id, now)
        {
            Verdict::Accept(identity) => self.join(id, &realm, &hello, identity),
            Verdict::Challenge {
                method,
                extra,
                pending,
            } => {
                self.state = State::Authenticating(Box::new(Challenged {
                    realm,
                    hello,
                    id,
                    pending,
                }));
                self.send(&WampMessage::Challenge(Challenge {
                    method: method.name().into(),
                    extra,
                }));
                Ok(())
            }
            Verdict::Reject(error) => {
                realm.metrics.count(Id::FailedLogins, 1);
                info!(realm = &*realm.name, peer = &*self.connection.peer.address;
                    "login refused: {error}");
                Err(refused(&error))
            }
        }
    }

    /// A message while a challenge waits for its answer.
    pub(super) fn authenticating(
        &mut self,
        challenged: Challenged,
        message: WampMessage,
    ) -> Result<(), Violation> {
        let Challenged {
            realm,
            hello,
            id,
            pending,
        } = challenged;
        match message {
            WampMessage::Authenticate(answer) => match pending.verify(&answer.signature) {
                Ok(identity) => self.join(id, &realm, &hello, identity),
                Err(error) => {
                    realm.metrics.count(Id::FailedLogins, 1);
                    info!(realm = &*realm.name, peer = &*self.connection.peer.address;
                        "login refused: {error}");
                    Err(refused(&error))
                }
            },
            WampMessage::Abort(_) => {
                self.connection.outbox.finish();
                Ok(())
            }
            other => {
                let name = other.message_type().name();
                Err(Violation::protocol(format!(
                    "{name} instead of AUTHENTICATE"
                )))
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "one for each session")]
    fn join(
        &mut self,
        id: SessionId,
        asked: &RealmHandle,
        hello: &Hello,
        identity: Identity,
    ) -> Result<(), Violation> {
        let realm = match &identity.realm {
            Some(name) => self.realm(name)?,
            None => asked.clone(),
        };
        let authprovider = identity.provider();
        let details = SessionDetails {
            id,
            realm: realm.name.to_string().into(),
            authid: identity.authid,
            authrole: identity.authrole,
            authmethod: identity.method.name(),
            authprovider,
            roles: hello.details.roles.clone(),
            peer: self.connection.peer.clone(),
            serializer: self.connection.wire.serializer,
        };
        realm.address.do_send(Join {
            details: Arc::new(details),
            outbox: Arc::clone(&self.connection.outbox),
            wire: self.connection.wire,
            max_message: self.connection.max_message,
        });
        self.state = State::Joined { id, realm };
        Ok(())
    }

    fn realm(&self, name: &str) -> Result<RealmHandle, Violation> {
        self.connection.router.realm(name).ok_or_else(|| Violation {
            reason: error_uri::NO_SUCH_REALM,
            text: format!("no realm \"{name}\" exists on this router"),
        })
    }
}

fn refused(error: &AuthError) -> Violation {
    Violation {
        reason: error.uri(),
        text: error.to_string(),
    }
}
