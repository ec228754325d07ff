//! Subscribe, register, call and their opposites: checked, authorised, and handed to the Broker,
//! the Dealer or the meta API. Spec: "Publish and Subscribe", "Remote Procedure Calls".

use std::rc::Rc;
use std::sync::Arc;

use bytestring::ByteString;
use rewamp_history::{FilterId, Scope, Sequence};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RequestId, SubscriptionId};
use rewamp_wamp::message::{
    Call, Error, InvocationPolicy, Message as WampMessage, MessageType, Register, Registered,
    Subscribe, Subscribed, Unregister, Unregistered, Unsubscribe, Unsubscribed,
};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::uri::{MatchPolicy, check_uri, is_restricted};
use rewamp_wamp::value::{Dict, Value};

use super::Realm;
use super::follow::{Form, already_subscribed};
use super::member::Member;
use crate::broker::{self, Created};
use crate::dealer::{Refusal, Registration, Stretch};
use crate::history::{Begin, Replay};
use crate::meta::get_events::GET_EVENTS;
use crate::meta::is_recorded;

/// Subscriptions that one session holds, at most. 65,536: above it, a pattern is what is meant.
const SUBSCRIPTIONS: usize = 65_536;

/// Procedures that one session registers, at most.
const REGISTRATIONS: usize = 65_536;

impl Realm {
    pub(super) fn subscribe(&mut self, member: &Rc<Member>, subscribe: &Subscribe) {
        if let Err(refusal) = self.try_subscribe(member, subscribe) {
            self.refuse(member, MessageType::Subscribe, subscribe.request, &refusal);
        }
    }

    /// Subscribes, now or when it is known where in the past that begins.
    fn try_subscribe(&mut self, member: &Rc<Member>, subscribe: &Subscribe) -> Result<(), Refusal> {
        let (topic, match_policy) = (&subscribe.topic, subscribe.options.match_policy);
        check_uri(topic, match_policy, self.uri_check).map_err(|error| Refusal {
            uri: error_uri::INVALID_URI,
            text: format!("subscribe for invalid topic URI '{topic}': {error}"),
        })?;
        let _permit = member
            .role
            .may_subscribe(topic, match_policy)
            .map_err(|denied| member.not_authorized(denied))?;
        if member.subscriptions.borrow().len() >= SUBSCRIPTIONS {
            return Err(Refusal {
                uri: error_uri::TOO_MANY,
                text: format!("a session may hold {SUBSCRIPTIONS} subscriptions"),
            });
        }
        let (replay, sequenced) = self.wanted_past(member, subscribe)?;
        let topic = ByteString::from(topic.to_string());
        let scope = self
            .covering_filter(&topic, match_policy)
            .map(|filter| Scope {
                uri: topic.clone(),
                match_policy,
                filter,
            });
        let held = self.broker.lookup(&topic, match_policy);
        let is_held = held.is_some_and(|held| held.receivers.borrow().contains(member));
        match (replay, scope) {
            (Some(_), None) => return Err(self.no_past(&topic, match_policy)),
            (Some(_), Some(_)) if is_held => return Err(already_subscribed(&topic)),
            (Some(replay), Some(scope)) => {
                self.ask_replay(member, subscribe, scope, replay, sequenced);
            }
            (None, Some(scope)) if sequenced && !is_held => {
                // What comes before the first live event is known to the history.
                let begin = Begin {
                    after: self.newest(),
                    newest_per_topic: None,
                };
                let form = Form {
                    marked: false,
                    sequenced,
                };
                self.begin_replay(member, subscribe.request, scope, begin, form);
            }
            (None, scope) => {
                let created = self.created(&topic, match_policy);
                // Places can be named as soon as the store is there that gives them.
                let sequenced =
                    sequenced && scope.is_none() && self.will_cover(&topic, match_policy);
                let subscribed =
                    self.broker
                        .subscribe(member, &topic, match_policy, sequenced, None, || created);
                if subscribed.added {
                    self.follow_also(member, &subscribed.subscription);
                }
                self.subscribed(member, subscribe.request, &subscribed);
            }
        }
        Ok(())
    }

    /// What of the past a SUBSCRIBE asks for, by its options or as it was prepared, and whether its
    /// EVENTs are to name their place.
    fn wanted_past(
        &self,
        member: &Member,
        subscribe: &Subscribe,
    ) -> Result<(Option<Replay>, bool), Refusal> {
        let options = &subscribe.options;
        let invalid = |text| Refusal {
            uri: error_uri::INVALID_ARGUMENT,
            text,
        };
        let prepared = (subscribe.topic.clone(), options.match_policy);
        let prepared = member.prepared.borrow_mut().remove(&prepared);
        let mut sequenced = match options.extra.get("_sequence") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(sequenced)) => *sequenced,
            Some(other) => {
                let kind = other.kind();
                return Err(invalid(format!(
                    "option `_sequence` is {kind}, expected a bool"
                )));
            }
        };
        let replay = match (options.extra.get("_replay"), prepared) {
            (None | Some(Value::Null), Some((replay, also_sequenced))) => {
                sequenced |= also_sequenced;
                replay
            }
            (None | Some(Value::Null), None) => return Ok((None, sequenced)),
            (Some(value), _) => Replay::read(value).map_err(invalid)?,
        };
        // The past is shown to those who may ask for it.
        let _permit = member
            .may_call(&ByteString::from_static(GET_EVENTS))
            .map_err(|denied| member.not_authorized(denied))?;
        Ok((Some(replay), sequenced))
    }

    /// Answers a SUBSCRIBE that was taken, and tells of it.
    pub(super) fn subscribed(
        &mut self,
        member: &Rc<Member>,
        request: RequestId,
        subscribed: &broker::Subscribed,
    ) {
        let subscription = subscribed.subscription.id;
        self.answer(
            member,
            &WampMessage::Subscribed(Subscribed {
                request,
                subscription,
            }),
        );
        if subscribed.added {
            self.count_subscriptions();
            self.tell_subscribed(member, subscribed);
        }
    }

    /// What a subscription begins with, should it be new.
    pub(super) fn created(&mut self, uri: &str, match_policy: MatchPolicy) -> Created {
        Created {
            id: self.subscription_id(uri, match_policy),
            time: self.now,
            filter: self.covering_filter(uri, match_policy),
        }
    }

    /// The newest sequence given to a publication.
    pub(super) fn newest(&self) -> Sequence {
        let history = self.history.as_ref();
        history.map_or(Sequence::ZERO, |history| history.newest())
    }

    /// The filter whose history has everything that a subscription receives.
    pub(super) fn covering_filter(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        if is_restricted(uri) {
            return None;
        }
        let store = self.history.as_ref()?.store();
        let id = store.covering(uri, match_policy)?;
        // A filter that keeps nothing has nothing to catch up with.
        let keeps = store
            .filters()
            .iter()
            .any(|filter| filter.id == id && filter.filter.limit != Some(0));
        keeps.then_some(id)
    }

    /// The ID of a subscription: where a history covers it, the one that its store always gives;
    /// else the one it has, or a new one.
    fn subscription_id(&mut self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        if let Some(history) = &self.history
            && !is_restricted(uri)
            && history.store().readable(uri, match_policy).is_some()
        {
            history.store().remember_pattern(uri, match_policy);
            return history.store().subscription_id(uri, match_policy);
        }
        if let Some(held) = self.broker.lookup(uri, match_policy) {
            return held.id;
        }
        loop {
            let id = self.ids.draw();
            if self.broker.get(id).is_none() && !self.filters.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, member: &Rc<Member>, unsubscribe: &Unsubscribe) {
        let request = unsubscribe.request;
        match self.broker.unsubscribe(member, unsubscribe.subscription) {
            Some(left) => {
                self.unfollow(member, left.subscription.id);
                let answer = WampMessage::Unsubscribed(Unsubscribed::Answer { request });
                self.answer(member, &answer);
                self.unsubscribed(member, &left);
            }
            None => {
                let uri = error_uri::NO_SUCH_SUBSCRIPTION;
                self.answer(
                    member,
                    &bare_error(MessageType::Unsubscribe, request, uri, member),
                );
            }
        }
    }

    /// A session has been taken off a subscription.
    pub(super) fn unsubscribed(&mut self, member: &Member, left: &broker::Unsubscribed) {
        self.count_subscriptions();
        self.tell_unsubscribed(member, left);
    }

    fn count_subscriptions(&self) {
        self.gauges
            .subscriptions
            .set(i64::try_from(self.broker.len()).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&mut self, member: &Rc<Member>, register: &Register) {
        let request = register.request;
        match self.try_register(member, register) {
            Ok(registration) => {
                self.answer(
                    member,
                    &WampMessage::Registered(Registered {
                        request,
                        registration,
                    }),
                );
            }
            Err(refusal) => self.refuse(member, MessageType::Register, request, &refusal),
        }
        self.count_registrations();
    }

    fn try_register(
        &mut self,
        member: &Rc<Member>,
        register: &Register,
    ) -> Result<rewamp_wamp::id::RegistrationId, Refusal> {
        let (procedure, options) = (&register.procedure, &register.options);
        check_uri(procedure, options.match_policy, self.uri_check).map_err(|error| Refusal {
            uri: error_uri::INVALID_URI,
            text: format!("register for invalid procedure URI '{procedure}': {error}"),
        })?;
        if is_restricted(procedure) && !is_recorded(procedure) {
            return Err(Refusal {
                uri: error_uri::INVALID_URI,
                text: format!("register for restricted procedure URI '{procedure}'"),
            });
        }
        let _permit = member
            .role
            .may_register(procedure, options.match_policy)
            .map_err(|denied| member.not_authorized(denied))?;
        let refused = |text: String| Refusal {
            uri: error_uri::OPTION_NOT_ALLOWED,
            text,
        };
        if options.match_policy != MatchPolicy::Exact {
            let name = options.match_policy.name();
            return Err(refused(format!(
                "match `{name}`: this dealer registers exact procedures"
            )));
        }
        if options.invoke != InvocationPolicy::Single {
            let name = options.invoke.name();
            return Err(refused(format!(
                "invoke `{name}`: this dealer knows `single`"
            )));
        }
        if member.registrations.borrow().len() >= REGISTRATIONS {
            return Err(Refusal {
                uri: error_uri::TOO_MANY,
                text: format!("a session may register {REGISTRATIONS} procedures"),
            });
        }
        let id = self.ids.draw();
        let procedure = ByteString::from(procedure.to_string());
        self.dealer
            .register(member, &procedure, id, self.now)
            .map(|registration| registration.id)
    }

    pub(super) fn unregister(&mut self, member: &Rc<Member>, unregister: &Unregister) {
        let request = unregister.request;
        let answer = match self.dealer.unregister(member, unregister.registration) {
            Some(_) => WampMessage::Unregistered(Unregistered::Answer { request }),
            None => {
                let uri = error_uri::NO_SUCH_REGISTRATION;
                bare_error(MessageType::Unregister, request, uri, member)
            }
        };
        self.answer(member, &answer);
        self.count_registrations();
    }

    fn count_registrations(&self) {
        self.gauges
            .registrations
            .set(i64::try_from(self.dealer.len()).unwrap_or(i64::MAX));
    }

    pub(super) fn call(&mut self, member: &Rc<Member>, call: &Call) {
        let permit = match member.may_call(&call.procedure) {
            Ok(permit) => permit,
            Err(denied) => {
                let refusal = member.not_authorized(denied);
                return self.refuse(member, MessageType::Call, call.request, &refusal);
            }
        };
        if is_restricted(&call.procedure) && !is_recorded(&call.procedure) {
            self.call_meta(member, call);
        } else {
            self.dealer
                .call(member, call, permit.discloses_caller(), &mut self.delivery);
        }
    }

    /// Calls what was called before, by as many CALLs without options as come first among `calls`;
    /// returns how many.
    pub(super) fn call_alike(
        &mut self,
        member: &Rc<Member>,
        calls: Stretch<'_>,
        last: &Registration,
    ) -> usize {
        self.broker.flush(&mut self.delivery);
        self.dealer
            .call_alike(member, calls, last, &mut self.delivery)
    }

    /// What a CALL can be like that follows this one in its batch: where the caller may call, and
    /// is not disclosed.
    pub(super) fn last_called(&self, member: &Member, call: &Call) -> Option<Rc<Registration>> {
        let permit = member.may_call(&call.procedure).ok()?;
        let registration = self.dealer.lookup(&call.procedure)?;
        (!permit.discloses_caller()).then(|| Rc::clone(registration))
    }

    pub(super) fn refuse(
        &mut self,
        member: &Member,
        request_type: MessageType,
        request: RequestId,
        refusal: &Refusal,
    ) {
        let error = refusal.error(request_type, request, member);
        self.answer(member, &error);
    }

    /// The realm's name, shared.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

/// An ERROR that says all with its URI, as Crossbar has it.
fn bare_error(
    request_type: MessageType,
    request: RequestId,
    uri: &'static str,
    member: &Member,
) -> WampMessage {
    WampMessage::Error(Error {
        request_type,
        request,
        details: Dict::new(),
        error: ByteString::from_static(uri),
        payload: Payload::empty(member.wire.serializer),
    })
}
