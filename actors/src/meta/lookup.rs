//! Which subscription an ID is, where only the disk knows: the call that names it waits, and is
//! answered when the history has looked. Called by `meta.rs`. The event loop waits for nothing.

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use bytestring::ByteString;
use rewamp_wamp::id::{SessionId, SubscriptionId};
use rewamp_wamp::message::Call;
use rewamp_wamp::uri::MatchPolicy;

use super::{Arguments, Procedure};
use crate::history::Lookup;
use crate::realm::Realm;
use crate::realm::member::Member;
use crate::session::outbox::Ticket;

/// What procedures that are about one subscription call their first parameter.
const SUBSCRIPTION: [&str; 2] = ["subscription_id", "subscription"];

/// What the history found out.
pub(crate) type Found = Option<(ByteString, MatchPolicy)>;

/// A call can go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LookedUp {
    session: SessionId,
    call: Call,
    id: SubscriptionId,
    found: Found,
    #[expect(dead_code, reason = "its drop lets the session's transport read on")]
    ticket: Ticket,
}

impl Realm {
    /// Has the history look for the subscription that `call` names, if nothing else knows it;
    /// says whether the call waits for that.
    pub(super) fn looks_up(
        &mut self,
        member: &Rc<Member>,
        call: &Call,
        procedure: &Procedure,
    ) -> bool {
        let first = procedure.parameters.first();
        let Some(parameter) = first.filter(|first| SUBSCRIPTION.contains(first)) else {
            return false;
        };
        let named = Arguments::read(procedure, &call.payload)
            .and_then(|mut arguments| arguments.id(parameter));
        // What is wrong with the arguments is told by the procedure.
        let Some(id) = named.ok().and_then(SubscriptionId::new) else {
            return false;
        };
        if self.knows(id) {
            return false;
        }
        let Some(history) = &mut self.history else {
            return false;
        };
        let realm = self.address.clone();
        let (session, call) = (member.id(), call.clone());
        let ticket = Ticket::new(&member.outbox);
        history.look_up(Lookup {
            id,
            tell: Box::new(move |found| {
                let looked_up = LookedUp {
                    session,
                    call,
                    id,
                    found,
                    ticket,
                };
                tell(&realm, looked_up);
            }),
        });
        true
    }

    fn knows(&self, id: SubscriptionId) -> bool {
        self.broker.get(id).is_some()
            || self.filters.contains_key(&id)
            || self.looked_up.as_ref().is_some_and(|(of, _)| *of == id)
            || self
                .history
                .as_ref()
                .is_some_and(|history| history.store().find_remembered(id).is_some())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "at most one for each ticket that its session has"
)]
fn tell(realm: &Addr<Realm>, looked_up: LookedUp) {
    realm.do_send(looked_up);
}

impl Handler<LookedUp> for Realm {
    type Result = ();

    fn handle(&mut self, looked_up: LookedUp, _: &mut Context<Self>) {
        let LookedUp {
            session,
            call,
            id,
            found,
            ..
        } = looked_up;
        let Some(member) = self.members.get(&session).map(Rc::clone) else {
            return;
        };
        if let (Some((uri, match_policy)), Some(history)) = (&found, &self.history) {
            // Who asked once asks again.
            Arc::clone(history.store()).remember_pattern(uri, *match_policy);
        }
        self.looked_up = Some((id, found));
        self.resume_call(&member, &call);
        self.looked_up = None;
    }
}
