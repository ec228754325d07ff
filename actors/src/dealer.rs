//! The Dealer: who answers a call. Called by `realm.rs`; hands INVOCATIONs, RESULTs and ERRORs to
//! outboxes through a [`Delivery`]. A plain struct: knows no actor and no permission.
//! Spec: "Remote Procedure Calls".

mod invocations; // what a callee has not answered

pub(crate) use invocations::Invocations;

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use foldhash::HashMap;
use rewamp_wamp::codec::{self, InvocationHead, Plain, PlainKind};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RegistrationId, RequestId};
use rewamp_wamp::message::{
    Call, CallResult, Error, Invocation, InvocationDetails, Message, MessageType, ResultDetails,
    Yield,
};
use rewamp_wamp::payload::{PayloadSlice, about_payload};
use rewamp_wamp::value::{Dict, Value};

use crate::broker::Delivery;
use crate::metrics::Gauge;
use crate::realm::member::Member;
use crate::realm::messages::Sent;
use crate::session::encoding;

/// Calls of one session that wait for their callee, at most; more are answered with
/// `rewamp.error.too_many`. Metric `rewamp_pending_calls`. 65,536: far above what a client that
/// reads its results has under way, and some 10 MB if it never does.
const PENDING_CALLS: usize = 65_536;

/// A procedure and who answers it.
pub struct Registration {
    /// Its ID.
    pub id: RegistrationId,
    /// The procedure.
    pub procedure: ByteString,
    /// When it was registered, ns since 1970.
    pub created: u64,
    /// Who answers.
    pub callee: Rc<Member>,
    /// What INVOCATIONs of it begin with that say nothing of the caller.
    head: InvocationHead,
}

/// A call that its callee has not answered; kept with the callee, by the number of the INVOCATION.
pub(crate) struct Pending {
    caller: Rc<Member>,
    request: RequestId,
}

impl Pending {
    /// A call of `caller` from now on.
    #[inline]
    fn of(caller: &Rc<Member>, request: RequestId) -> Self {
        caller.calls.set(caller.calls.get() + 1);
        let caller = Rc::clone(caller);
        Self { caller, request }
    }
}

/// A refusal that becomes an ERROR: the URI and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error URI.
    pub uri: &'static str,
    /// What was wrong.
    pub text: String,
}

/// Messages that one session sent one after another, and what they stand in.
#[derive(Clone, Copy)]
pub struct Stretch<'b> {
    /// In order.
    pub messages: &'b [Sent],
    /// What it was read into.
    pub block: &'b Bytes,
}

impl<'b> Stretch<'b> {
    /// The first of them, as long as they are of one sort.
    fn of(self, kind: PlainKind) -> impl Iterator<Item = &'b Plain> {
        self.messages.iter().map_while(move |sent| match sent {
            Sent::Plain(plain) if plain.kind == kind => Some(plain),
            _ => None,
        })
    }
}

/// See the head of this file.
pub struct Dealer {
    by_id: HashMap<RegistrationId, Rc<Registration>>,
    by_procedure: HashMap<ByteString, Rc<Registration>>,
    /// Calls that wait.
    pending: usize,
    /// Those among them whose caller has left, at most.
    orphans: usize,
    depth: Gauge,
    scratch: BytesMut,
}

impl Dealer {
    /// A dealer without registrations; `depth` is the gauge of calls that wait.
    #[must_use]
    pub fn new(depth: Gauge) -> Self {
        Self {
            by_id: HashMap::default(),
            by_procedure: HashMap::default(),
            pending: 0,
            orphans: 0,
            depth,
            scratch: BytesMut::new(),
        }
    }

    /// Registers `procedure` for `callee`.
    ///
    /// # Errors
    /// `wamp.error.procedure_already_exists` if anybody has registered it.
    pub fn register(
        &mut self,
        callee: &Rc<Member>,
        procedure: &ByteString,
        id: RegistrationId,
        created: u64,
    ) -> Result<Rc<Registration>, Refusal> {
        if self.by_procedure.contains_key(procedure) {
            return Err(Refusal {
                uri: error_uri::PROCEDURE_ALREADY_EXISTS,
                text: format!("register for already registered procedure '{procedure}'"),
            });
        }
        let registration = Rc::new(Registration {
            id,
            procedure: procedure.clone(),
            created,
            callee: Rc::clone(callee),
            head: InvocationHead::new(callee.wire, id),
        });
        self.by_id.insert(id, Rc::clone(&registration));
        self.by_procedure
            .insert(procedure.clone(), Rc::clone(&registration));
        callee
            .registrations
            .borrow_mut()
            .insert(id, Rc::clone(&registration));
        Ok(registration)
    }

    /// Takes a registration of `callee` away; `None` if it does not hold it.
    pub fn unregister(
        &mut self,
        callee: &Rc<Member>,
        id: RegistrationId,
    ) -> Option<Rc<Registration>> {
        let registration = callee.registrations.borrow_mut().remove(&id)?;
        self.forget(&registration);
        Some(registration)
    }

    fn forget(&mut self, registration: &Registration) {
        self.by_id.remove(&registration.id);
        self.by_procedure.remove(&registration.procedure);
    }

    /// Takes a session off everything: its registrations are gone, those who called it get
    /// `wamp.error.canceled`, and answers to its own calls will find nobody.
    pub fn leave(&mut self, member: &Rc<Member>, delivery: &mut Delivery) {
        let held = std::mem::take(&mut *member.registrations.borrow_mut());
        held.into_values()
            .for_each(|registration| self.forget(&registration));
        let invocations = member.invocations.borrow_mut().take_all();
        self.pending -= invocations.len();
        for pending in invocations {
            let caller = &pending.caller;
            caller.calls.set(caller.calls.get().saturating_sub(1));
            let refusal = Refusal {
                uri: error_uri::CANCELED,
                text: "the callee left before it answered".to_owned(),
            };
            self.refuse(caller, pending.request, &refusal, delivery);
        }
        self.orphans += member.calls.get();
        self.sweep();
    }

    /// Forgets the calls of those who left, once there are many: looking for them costs a look at
    /// every call that waits, so it is done no oftener than as many have come to be forgotten.
    fn sweep(&mut self) {
        const WORTHWHILE: usize = 1_024;
        if self.orphans < WORTHWHILE.max(self.pending / 2) {
            return;
        }
        for registration in self.by_id.values() {
            let mut invocations = registration.callee.invocations.borrow_mut();
            let before = invocations.len();
            invocations.retain(|pending| !pending.caller.has_left.get());
            self.pending -= before - invocations.len();
        }
        self.orphans = 0;
    }

    /// Passes a CALL on to its callee as an INVOCATION.
    pub fn call(
        &mut self,
        caller: &Rc<Member>,
        call: &Call,
        disclose: bool,
        delivery: &mut Delivery,
    ) {
        let request = call.request;
        if let Err(refusal) = self.invoke(caller, call, disclose, delivery) {
            self.refuse(caller, request, &refusal, delivery);
        }
    }

    fn invoke(
        &mut self,
        caller: &Rc<Member>,
        call: &Call,
        disclose: bool,
        delivery: &mut Delivery,
    ) -> Result<(), Refusal> {
        let Some(registration) = self.by_procedure.get(&call.procedure) else {
            return Err(Refusal {
                uri: error_uri::NO_SUCH_PROCEDURE,
                text: format!("no callee registered for procedure <{}>", call.procedure),
            });
        };
        let callee = &registration.callee;
        if caller.calls.get() >= PENDING_CALLS {
            return Err(Refusal {
                uri: error_uri::TOO_MANY,
                text: format!("{PENDING_CALLS} calls of this session wait for an answer already"),
            });
        }
        let invocation = callee.invocations.borrow().next();
        let payload = &call.payload;
        let plain = !disclose && call.options.extra.is_empty();
        send(callee, delivery, |out| {
            if plain
                && let Some(length) = registration
                    .head
                    .append(invocation, payload.as_slice(), out)
            {
                return Ok(length);
            }
            let who = disclose.then_some(&caller.details);
            let message = Message::Invocation(Invocation {
                request: invocation,
                registration: registration.id,
                details: Box::new(InvocationDetails {
                    caller: who.map(|who| who.id),
                    caller_authid: who.map(|who| who.authid.clone()),
                    caller_authrole: who.map(|who| who.authrole.clone()),
                    extra: about_payload(&call.options.extra),
                    ..InvocationDetails::default()
                }),
                payload: payload.clone(),
            });
            encode(callee, &message, out)
        })?;
        let pending = Pending::of(caller, call.request);
        callee.invocations.borrow_mut().push(pending);
        self.pending += 1;
        Ok(())
    }

    /// Passes on the first of `calls`, as many as are CALLs like one before them, which had no
    /// options either and was for the same `registration`, by a caller that is not disclosed.
    /// Returns how many; what comes behind them has to go the long way, if it is a CALL at all.
    pub fn call_alike(
        &mut self,
        caller: &Rc<Member>,
        calls: Stretch<'_>,
        registration: &Registration,
        delivery: &mut Delivery,
    ) -> usize {
        let Registration {
            callee,
            head,
            procedure,
            ..
        } = registration;
        let mut invocations = callee.invocations.borrow_mut();
        let mut passed = 0;
        for call in calls.of(PlainKind::Call) {
            let payload = call.payload(caller.wire.serializer, calls.block);
            let is_alike = call.is_named(procedure.as_bytes(), calls.block)
                && caller.calls.get() < PENDING_CALLS
                && takes(callee, payload);
            if !is_alike {
                break;
            }
            let out = delivery.messages_for(callee);
            if head.append(invocations.next(), payload, out).is_none() {
                break;
            }
            delivery.message_added();
            invocations.push(Pending::of(caller, call.request));
            passed += 1;
        }
        self.pending += passed;
        passed
    }

    /// Passes on the first of `answers`, as many as are YIELDs without options. Returns how many;
    /// what comes behind them has to go the long way, if it is a YIELD at all.
    pub fn answer_plainly(
        &mut self,
        callee: &Member,
        answers: Stretch<'_>,
        delivery: &mut Delivery,
    ) -> usize {
        let mut invocations = callee.invocations.borrow_mut();
        let mut passed = 0;
        for answer in answers.of(PlainKind::Yield) {
            let payload = answer.payload(callee.wire.serializer, answers.block);
            let is_taken = |pending: &Pending| takes(&pending.caller, payload);
            let Some(pending) = invocations.take_if(answer.request, is_taken) else {
                break;
            };
            passed += 1;
            let Some(Pending { caller, request }) = self.taken(pending) else {
                continue;
            };
            let out = delivery.messages_for(&caller);
            if codec::append_result(caller.wire, request, payload, out).is_some() {
                delivery.message_added();
            }
        }
        passed
    }

    /// Passes a YIELD on to the caller as its RESULT. One whose caller is gone finds nobody.
    pub fn answer(&mut self, callee: &Rc<Member>, answer: &Yield, delivery: &mut Delivery) {
        let Some(pending) = self.take(callee, answer.request) else {
            return;
        };
        let (caller, request) = (&pending.caller, pending.request);
        let plain = answer.options.extra.is_empty();
        let sent = send(caller, delivery, |out| {
            if plain
                && let Some(length) =
                    codec::append_result(caller.wire, request, answer.payload.as_slice(), out)
            {
                return Ok(length);
            }
            let extra = about_payload(&answer.options.extra);
            let details = ResultDetails {
                progress: false,
                extra,
            };
            let payload = answer.payload.clone();
            let message = Message::Result(CallResult {
                request,
                details,
                payload,
            });
            encode(caller, &message, out)
        });
        if let Err(refusal) = sent {
            self.refuse(caller, request, &refusal, delivery);
        }
    }

    /// Passes an ERROR of an INVOCATION on to the caller.
    pub fn fail(&mut self, callee: &Rc<Member>, error: &Error, delivery: &mut Delivery) {
        let Some(pending) = self.take(callee, error.request) else {
            return;
        };
        let sent = send(&pending.caller, delivery, |out| {
            let message = Message::Error(Error {
                request_type: MessageType::Call,
                request: pending.request,
                details: error.details.clone(),
                error: error.error.clone(),
                payload: error.payload.clone(),
            });
            encode(&pending.caller, &message, out)
        });
        if let Err(refusal) = sent {
            self.refuse(&pending.caller, pending.request, &refusal, delivery);
        }
    }

    fn take(&mut self, callee: &Member, request: RequestId) -> Option<Pending> {
        let pending = callee.invocations.borrow_mut().take(request)?;
        self.taken(pending)
    }

    /// A call that waits no longer; `None` if its caller does not either.
    #[inline]
    fn taken(&mut self, pending: Pending) -> Option<Pending> {
        let caller = &pending.caller;
        caller.calls.set(caller.calls.get().saturating_sub(1));
        self.pending -= 1;
        match pending.caller.has_left.get() {
            true => None,
            false => Some(pending),
        }
    }

    fn refuse(
        &mut self,
        caller: &Member,
        request: RequestId,
        refusal: &Refusal,
        delivery: &mut Delivery,
    ) {
        let message = refusal.error(MessageType::Call, request, caller);
        self.scratch.clear();
        encoding::append(caller.wire, &message, &mut self.scratch);
        delivery.answer(&caller.outbox, &self.scratch);
    }

    /// The end of a batch: says how many calls wait.
    pub fn report(&self) {
        self.depth
            .set(i64::try_from(self.pending).unwrap_or(i64::MAX));
    }

    /// The registration of this procedure.
    #[must_use]
    pub fn lookup(&self, procedure: &str) -> Option<&Rc<Registration>> {
        self.by_procedure.get(procedure)
    }

    /// How many registrations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True if nothing is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl Refusal {
    /// The ERROR for a request of `member`.
    #[must_use]
    pub fn error(&self, request_type: MessageType, request: RequestId, member: &Member) -> Message {
        let text = Value::from(self.text.clone());
        Message::Error(Error {
            request_type,
            request,
            details: Dict::new(),
            error: ByteString::from_static(self.uri),
            payload: encoding::arguments(member.wire.serializer, &[text], None),
        })
    }
}

/// Whether `payload` can be passed on to `member` as it is, in a frame that it takes.
fn takes(member: &Member, payload: PayloadSlice<'_>) -> bool {
    /// Of a message without options, at most, besides its arguments.
    const HEAD: usize = 64;
    payload.serializer() == member.wire.serializer && payload.len() + HEAD <= member.max_message
}

/// Appends a message and returns its length; its arguments are transcoded where need be.
fn encode(member: &Member, message: &Message, out: &mut BytesMut) -> Result<usize, Refusal> {
    codec::encode_framed(member.wire, message, out).map_err(|error| Refusal {
        uri: error_uri::INVALID_ARGUMENT,
        text: format!("the receiver speaks {}: {error}", member.wire.serializer),
    })
}

/// Sends what `append` appends; it returns the length of the message, or has appended nothing.
fn send(
    member: &Rc<Member>,
    delivery: &mut Delivery,
    append: impl FnOnce(&mut BytesMut) -> Result<usize, Refusal>,
) -> Result<(), Refusal> {
    let out = delivery.messages_for(member);
    let before = out.len();
    let length = append(out)?;
    if length > member.max_message {
        out.truncate(before);
        return Err(Refusal {
            uri: error_uri::PAYLOAD_SIZE_EXCEEDED,
            text: format!(
                "a message of {length} bytes, and the receiver takes {}",
                member.max_message
            ),
        });
    }
    delivery.message_added();
    Ok(())
}
