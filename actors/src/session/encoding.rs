//! Messages of the router's own making as frames. They hold what every serializer can express, so
//! encoding them does not fail; if one did, it would be a fault of the program, said in the log,
//! and the client would miss that one message.

use bytes::BytesMut;
use log::error;
use rewamp_wamp::codec;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::message::Message as WampMessage;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::value::{Dict, Value};

/// Appends one framed message; returns the length of the message in it.
pub(crate) fn append(wire: Wire, message: &WampMessage, out: &mut BytesMut) -> usize {
    codec::encode_framed(wire, message, out).unwrap_or_else(|fault| {
        error!(message_type = message.message_type().name(); "message not sent: {fault}");
        0
    })
}

/// Arguments of the router's own making.
pub(crate) fn arguments(serializer: Serializer, args: &[Value], kwargs: Option<&Dict>) -> Payload {
    Payload::from_values(serializer, Some(args), kwargs).unwrap_or_else(|fault| {
        error!("arguments not sent: {fault}");
        Payload::empty(serializer)
    })
}
