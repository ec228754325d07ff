//! A Member: a session as its realm sees it: who it is, what it may, where its messages go, and
//! what it holds in the Broker and the Dealer. Spec: "Sessions", "Session Details".

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytestring::ByteString;
use foldhash::HashMap;
use rewamp_history::Identity;
use rewamp_wamp::error_uri;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{RegistrationId, SessionId, SubscriptionId};
use rewamp_wamp::uri::MatchPolicy;

use super::following::{CatchingUp, Replaying};
use super::role::{Asker, CallPermit, NotAuthorized, Role};
use crate::broker::Subscription;
use crate::dealer::{Invocations, Pending, Refusal, Registration};
use crate::history::Replay;
use crate::session::SessionDetails;
use crate::session::outbox::Outbox;

/// A joined session. One exists from [`Join`](super::messages::Join) to
/// [`Leave`](super::messages::Leave); the Broker and the Dealer share it.
pub struct Member {
    /// Who it is; what `wamp.session.get` shows.
    pub details: Arc<SessionDetails>,
    /// What it may.
    pub role: Arc<Role>,
    /// How its messages are written.
    pub wire: Wire,
    /// Where they go.
    pub outbox: Arc<Outbox>,
    /// Bytes that one message to it may have, without the transport's header.
    pub max_message: usize,
    /// Who it is, as stored events name it.
    pub(crate) identity: Arc<Identity>,
    pub(crate) subscriptions: RefCell<HashMap<SubscriptionId, Rc<Subscription>>>,
    pub(crate) registrations: RefCell<HashMap<RegistrationId, Rc<Registration>>>,
    /// Its subscriptions that are sent their past.
    pub(crate) replays: RefCell<HashMap<SubscriptionId, Replaying>>,
    /// While it gets events from the history because it could not keep up.
    pub(crate) catching_up: RefCell<Option<CatchingUp>>,
    /// What its next SUBSCRIBE to a topic or pattern asks for besides.
    pub(crate) prepared: RefCell<HashMap<(ByteString, MatchPolicy), (Replay, bool)>>,
    /// It is out of the realm, even if its connection stays for another session.
    pub(crate) has_left: Cell<bool>,
    /// How many of its calls wait for an answer.
    pub(crate) calls: Cell<usize>,
    /// The INVOCATIONs that it has not answered.
    pub(crate) invocations: RefCell<Invocations<Pending>>,
    /// The procedure that it called last, and that it may.
    last_call: RefCell<Option<(ByteString, CallPermit)>>,
}

impl Member {
    /// A session that holds nothing yet.
    #[must_use]
    pub fn new(
        details: Arc<SessionDetails>,
        role: Arc<Role>,
        wire: Wire,
        outbox: Arc<Outbox>,
        max_message: usize,
    ) -> Self {
        let identity = Identity {
            authid: details.authid.clone(),
            authrole: details.authrole.clone(),
        };
        Self {
            identity: Arc::new(identity),
            details,
            role,
            wire,
            outbox,
            max_message,
            subscriptions: RefCell::default(),
            registrations: RefCell::default(),
            replays: RefCell::default(),
            catching_up: RefCell::default(),
            prepared: RefCell::default(),
            has_left: Cell::new(false),
            calls: Cell::default(),
            invocations: RefCell::default(),
            last_call: RefCell::default(),
        }
    }

    /// Its session ID.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.details.id
    }

    /// May it call `procedure`? Sessions mostly call what they called last.
    ///
    /// # Errors
    /// Its role does not allow it.
    pub(crate) fn may_call<'a>(
        &self,
        procedure: &'a ByteString,
    ) -> Result<CallPermit, NotAuthorized<'a>> {
        match &*self.last_call.borrow() {
            Some((last, permit)) if last == procedure => return Ok(*permit),
            _ => {}
        }
        let permit = self.role.may_call(procedure)?;
        // A copy: the procedure as it came in is a slice of a whole read block.
        let procedure = ByteString::from(procedure.to_string());
        self.last_call.replace(Some((procedure, permit)));
        Ok(permit)
    }

    /// What it is told when its role does not allow something.
    #[must_use]
    pub fn not_authorized(&self, denied: NotAuthorized<'_>) -> Refusal {
        let details = &self.details;
        let asker = Asker {
            session: details.id,
            authid: &details.authid,
            authrole: &details.authrole,
            realm: &details.realm,
        };
        Refusal {
            uri: error_uri::NOT_AUTHORIZED,
            text: denied.told_to(&asker),
        }
    }
}
