//! Bytes to messages: one function a message, in the order of its elements.

use super::fault::Wrong;
use super::fields::Fields;
use super::read_options;
use crate::id::RequestId;
use crate::message::{
    Abort, Authenticate, Call, CallResult, Cancel, Challenge, Error, Event, Goodbye, Hello,
    Interrupt, Invocation, Message, MessageType, Publish, Published, Register, Registered,
    Subscribe, Subscribed, Unregister, Unregistered, Unsubscribe, Unsubscribed, Welcome, Yield,
};
use crate::serializer::{Limits, Reader, Serializer};

pub(super) fn message<'a, R: Reader<'a>>(
    reader: R,
    serializer: Serializer,
    limits: &Limits,
) -> Result<Message, Wrong> {
    let fields = &mut Fields::new(reader, serializer, limits);
    Ok(match fields.message_type()? {
        MessageType::Publish => Message::Publish(publish(fields)?),
        MessageType::Call => Message::Call(call(fields)?),
        MessageType::Yield => Message::Yield(yielded(fields)?),
        MessageType::Event => Message::Event(event(fields)?),
        MessageType::Result => Message::Result(result(fields)?),
        MessageType::Invocation => Message::Invocation(invocation(fields)?),
        MessageType::Error => Message::Error(error(fields)?),
        MessageType::Published => Message::Published(published(fields)?),
        MessageType::Subscribe => Message::Subscribe(subscribe(fields)?),
        MessageType::Subscribed => Message::Subscribed(subscribed(fields)?),
        MessageType::Unsubscribe => Message::Unsubscribe(unsubscribe(fields)?),
        MessageType::Unsubscribed => Message::Unsubscribed(unsubscribed(fields)?),
        MessageType::Register => Message::Register(register(fields)?),
        MessageType::Registered => Message::Registered(registered(fields)?),
        MessageType::Unregister => Message::Unregister(unregister(fields)?),
        MessageType::Unregistered => Message::Unregistered(unregistered(fields)?),
        MessageType::Cancel => Message::Cancel(cancel(fields)?),
        MessageType::Interrupt => Message::Interrupt(interrupt(fields)?),
        MessageType::Hello => Message::Hello(hello(fields)?),
        MessageType::Welcome => Message::Welcome(welcome(fields)?),
        MessageType::Abort => Message::Abort(abort(fields)?),
        MessageType::Challenge => Message::Challenge(challenge(fields)?),
        MessageType::Authenticate => Message::Authenticate(authenticate(fields)?),
        MessageType::Goodbye => Message::Goodbye(goodbye(fields)?),
    })
}

type Decoded<T> = Result<T, Wrong>;

fn hello<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Hello> {
    let realm = fields.text("Realm", 3)?;
    let details = Box::new(read_options::hello(fields)?);
    fields.end()?;
    Ok(Hello { realm, details })
}

fn welcome<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Welcome> {
    let session = fields.id("Session", 3)?;
    let details = Box::new(read_options::welcome(fields)?);
    fields.end()?;
    Ok(Welcome { session, details })
}

fn abort<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Abort> {
    let details = fields.dict("Details", 3)?;
    let reason = fields.text("Reason", 3)?;
    let payload = fields.payload(&details)?;
    Ok(Abort {
        details,
        reason,
        payload,
    })
}

fn challenge<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Challenge> {
    let method = fields.text("AuthMethod", 3)?;
    let extra = fields.dict("Extra", 3)?;
    fields.end()?;
    Ok(Challenge { method, extra })
}

fn authenticate<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Authenticate> {
    let signature = fields.text("Signature", 3)?;
    let extra = fields.dict("Extra", 3)?;
    fields.end()?;
    Ok(Authenticate { signature, extra })
}

fn goodbye<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Goodbye> {
    let details = fields.dict("Details", 3)?;
    let reason = fields.text("Reason", 3)?;
    fields.end()?;
    Ok(Goodbye { details, reason })
}

fn error<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Error> {
    let code = fields.unsigned("REQUEST.Type", 5)?;
    let request_type = MessageType::from_code(code)
        .ok_or_else(|| fields.wrong(&format!("there is no message of type {code}")))?;
    let request = fields.id("REQUEST.Request", 5)?;
    let details = fields.dict("Details", 5)?;
    let error = fields.text("Error", 5)?;
    let payload = fields.payload(&details)?;
    Ok(Error {
        request_type,
        request,
        details,
        error,
        payload,
    })
}

fn publish<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Publish> {
    let request = fields.request(4)?;
    let options = read_options::publish(fields)?;
    let topic = fields.text("Topic", 4)?;
    let payload = fields.payload(&options.extra)?;
    Ok(Publish {
        request,
        options,
        topic,
        payload,
    })
}

fn published<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Published> {
    let request = fields.id("PUBLISH.Request", 3)?;
    let publication = fields.id("Publication", 3)?;
    fields.end()?;
    Ok(Published {
        request,
        publication,
    })
}

fn subscribe<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Subscribe> {
    let request = fields.request(4)?;
    let options = read_options::subscribe(fields)?;
    let topic = fields.text("Topic", 4)?;
    fields.end()?;
    Ok(Subscribe {
        request,
        options,
        topic,
    })
}

fn subscribed<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Subscribed> {
    let request = fields.id("SUBSCRIBE.Request", 3)?;
    let subscription = fields.id("Subscription", 3)?;
    fields.end()?;
    Ok(Subscribed {
        request,
        subscription,
    })
}

fn unsubscribe<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Unsubscribe> {
    let request = fields.request(3)?;
    let subscription = fields.id("SUBSCRIBED.Subscription", 3)?;
    fields.end()?;
    Ok(Unsubscribe {
        request,
        subscription,
    })
}

fn unsubscribed<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Unsubscribed> {
    let number = fields.unsigned("UNSUBSCRIBE.Request", 2)?;
    if number > 0 {
        let request = answered(number, fields)?;
        fields.end()?;
        return Ok(Unsubscribed::Answer { request });
    }
    let (subscription, reason) = read_options::revocation(fields, "subscription")?;
    fields.end()?;
    Ok(Unsubscribed::Revoked {
        subscription,
        reason,
    })
}

fn event<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Event> {
    let subscription = fields.id("SUBSCRIBED.Subscription", 4)?;
    let publication = fields.id("PUBLISHED.Publication", 4)?;
    let details = Box::new(read_options::event(fields)?);
    let payload = fields.payload(&details.extra)?;
    Ok(Event {
        subscription,
        publication,
        details,
        payload,
    })
}

fn call<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Call> {
    let request = fields.request(4)?;
    let options = read_options::call(fields)?;
    let procedure = fields.text("Procedure", 4)?;
    let payload = fields.payload(&options.extra)?;
    Ok(Call {
        request,
        options,
        procedure,
        payload,
    })
}

fn cancel<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Cancel> {
    let request = fields.id("CALL.Request", 3)?;
    let (mode, extra) = read_options::cancel(fields)?;
    fields.end()?;
    Ok(Cancel {
        request,
        mode,
        extra,
    })
}

fn result<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<CallResult> {
    let request = fields.id("CALL.Request", 3)?;
    let details = read_options::result(fields)?;
    let payload = fields.payload(&details.extra)?;
    Ok(CallResult {
        request,
        details,
        payload,
    })
}

fn register<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Register> {
    let request = fields.request(4)?;
    let options = read_options::register(fields)?;
    let procedure = fields.text("Procedure", 4)?;
    fields.end()?;
    Ok(Register {
        request,
        options,
        procedure,
    })
}

fn registered<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Registered> {
    let request = fields.id("REGISTER.Request", 3)?;
    let registration = fields.id("Registration", 3)?;
    fields.end()?;
    Ok(Registered {
        request,
        registration,
    })
}

fn unregister<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Unregister> {
    let request = fields.request(3)?;
    let registration = fields.id("REGISTERED.Registration", 3)?;
    fields.end()?;
    Ok(Unregister {
        request,
        registration,
    })
}

fn unregistered<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Unregistered> {
    let number = fields.unsigned("UNREGISTER.Request", 2)?;
    if number > 0 {
        let request = answered(number, fields)?;
        fields.end()?;
        return Ok(Unregistered::Answer { request });
    }
    let (registration, reason) = read_options::revocation(fields, "registration")?;
    fields.end()?;
    Ok(Unregistered::Revoked {
        registration,
        reason,
    })
}

fn invocation<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Invocation> {
    let request = fields.request(4)?;
    let registration = fields.id("REGISTERED.Registration", 4)?;
    let details = Box::new(read_options::invocation(fields)?);
    let payload = fields.payload(&details.extra)?;
    Ok(Invocation {
        request,
        registration,
        details,
        payload,
    })
}

fn interrupt<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Interrupt> {
    let request = fields.id("INVOCATION.Request", 3)?;
    let options = read_options::interrupt(fields)?;
    fields.end()?;
    Ok(Interrupt { request, options })
}

fn yielded<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<Yield> {
    let request = fields.id("INVOCATION.Request", 3)?;
    let options = read_options::yielded(fields)?;
    let payload = fields.payload(&options.extra)?;
    Ok(Yield {
        request,
        options,
        payload,
    })
}

fn answered<'a, R: Reader<'a>>(number: u64, fields: &Fields<'_, R>) -> Decoded<RequestId> {
    RequestId::new(number)
        .ok_or_else(|| fields.wrong(&format!("expected an ID from 1 to 2^53, found {number}")))
}
