//! What becomes of a message that cannot be read: where it is a request that can be named, it is
//! answered with an ERROR, and the session goes on; all else ends the session.

use bytestring::ByteString;
use rewamp_wamp::codec::{DecodeError, DecodeErrorKind};
use rewamp_wamp::error_uri;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::message::{Error, Message as WampMessage, MessageType};
use rewamp_wamp::value::{Dict, Value};

use super::encoding;

/// The ERROR for a request with a wrong element, or `None` if the session has to end.
pub(super) fn answer(error: &DecodeError, wire: Wire) -> Option<WampMessage> {
    let of_an_element = matches!(
        error.kind,
        DecodeErrorKind::WrongElement | DecodeErrorKind::OverLimit
    );
    let request_type = error.message_type.filter(|message_type| {
        matches!(
            message_type,
            MessageType::Publish
                | MessageType::Subscribe
                | MessageType::Unsubscribe
                | MessageType::Call
                | MessageType::Register
                | MessageType::Unregister
        )
    })?;
    let request = error.request.filter(|_| of_an_element)?;
    let text = Value::from(error.reason.clone());
    Some(WampMessage::Error(Error {
        request_type,
        request,
        details: Dict::new(),
        error: ByteString::from_static(error_uri::INVALID_ARGUMENT),
        payload: encoding::arguments(wire.serializer, &[text], None),
    }))
}
