//! Every message of the Basic and Advanced Profile as a struct that shows its array.
//! Read and written by `codec.rs`. Options and details have the keys that a router reads or
//! writes as fields; all others are kept in `extra` in their order, as they may have to be
//! forwarded (`ppt_*`, `enc_*`, keys that begin with `_`).

mod session;
mod pubsub;
mod rpc;

use std::fmt;

pub use self::pubsub::{
    Event, EventDetails, Publish, PublishOptions, Published, ReceiverLists, Subscribe,
    SubscribeOptions, Subscribed, Unsubscribe, Unsubscribed,
};
pub use self::rpc::{
    Call, CallOptions, CallResult, Cancel, CancelMode, Interrupt, InterruptOptions, Invocation,
    InvocationDetails, InvocationPolicy, Register, RegisterOptions, Registered, ResultDetails,
    Unregister, Unregistered, Yield, YieldOptions,
};
pub use self::session::{
    Abort, Authenticate, Challenge, Error, Goodbye, Hello, HelloDetails, Roles, Welcome,
    WelcomeDetails,
};
use crate::payload::Payload;

/// A message, either direction. Spec: "Messages".
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each variant is documented at the struct of its name"
)]
pub enum Message {
    Hello(Hello),
    Welcome(Welcome),
    Abort(Abort),
    Challenge(Challenge),
    Authenticate(Authenticate),
    Goodbye(Goodbye),
    Error(Error),
    Publish(Publish),
    Published(Published),
    Subscribe(Subscribe),
    Subscribed(Subscribed),
    Unsubscribe(Unsubscribe),
    Unsubscribed(Unsubscribed),
    Event(Event),
    Call(Call),
    Cancel(Cancel),
    Result(CallResult),
    Register(Register),
    Registered(Registered),
    Unregister(Unregister),
    Unregistered(Unregistered),
    Invocation(Invocation),
    Interrupt(Interrupt),
    Yield(Yield),
}

/// The first element of a message. Spec: "Message Codes and Direction".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is documented at the struct of its name"
)]
#[repr(u8)]
pub enum MessageType {
    Hello = 1,
    Welcome = 2,
    Abort = 3,
    Challenge = 4,
    Authenticate = 5,
    Goodbye = 6,
    Error = 8,
    Publish = 16,
    Published = 17,
    Subscribe = 32,
    Subscribed = 33,
    Unsubscribe = 34,
    Unsubscribed = 35,
    Event = 36,
    Call = 48,
    Cancel = 49,
    Result = 50,
    Register = 64,
    Registered = 65,
    Unregister = 66,
    Unregistered = 67,
    Invocation = 68,
    Interrupt = 69,
    Yield = 70,
}

impl MessageType {
    /// All of them, by code.
    pub const ALL: [Self; 24] = [
        Self::Hello,
        Self::Welcome,
        Self::Abort,
        Self::Challenge,
        Self::Authenticate,
        Self::Goodbye,
        Self::Error,
        Self::Publish,
        Self::Published,
        Self::Subscribe,
        Self::Subscribed,
        Self::Unsubscribe,
        Self::Unsubscribed,
        Self::Event,
        Self::Call,
        Self::Cancel,
        Self::Result,
        Self::Register,
        Self::Registered,
        Self::Unregister,
        Self::Unregistered,
        Self::Invocation,
        Self::Interrupt,
        Self::Yield,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The type of that number.
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Abort,
            4 => Self::Challenge,
            5 => Self::Authenticate,
            6 => Self::Goodbye,
            8 => Self::Error,
            16 => Self::Publish,
            17 => Self::Published,
            32 => Self::Subscribe,
            33 => Self::Subscribed,
            34 => Self::Unsubscribe,
            35 => Self::Unsubscribed,
            36 => Self::Event,
            48 => Self::Call,
            49 => Self::Cancel,
            50 => Self::Result,
            64 => Self::Register,
            65 => Self::Registered,
            66 => Self::Unregister,
            67 => Self::Unregistered,
            68 => Self::Invocation,
            69 => Self::Interrupt,
            70 => Self::Yield,
            _ => return None,
        })
    }

    /// The name in the spec.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Welcome => "WELCOME",
            Self::Abort => "ABORT",
            Self::Challenge => "CHALLENGE",
            Self::Authenticate => "AUTHENTICATE",
            Self::Goodbye => "GOODBYE",
            Self::Error => "ERROR",
            Self::Publish => "PUBLISH",
            Self::Published => "PUBLISHED",
            Self::Subscribe => "SUBSCRIBE",
            Self::Subscribed => "SUBSCRIBED",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::Event => "EVENT",
            Self::Call => "CALL",
            Self::Cancel => "CANCEL",
            Self::Result => "RESULT",
            Self::Register => "REGISTER",
            Self::Registered => "REGISTERED",
            Self::Unregister => "UNREGISTER",
            Self::Unregistered => "UNREGISTERED",
            Self::Invocation => "INVOCATION",
            Self::Interrupt => "INTERRUPT",
            Self::Yield => "YIELD",
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Message {
    /// Which message it is.
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Hello(_) => MessageType::Hello,
            Self::Welcome(_) => MessageType::Welcome,
            Self::Abort(_) => MessageType::Abort,
            Self::Challenge(_) => MessageType::Challenge,
            Self::Authenticate(_) => MessageType::Authenticate,
            Self::Goodbye(_) => MessageType::Goodbye,
            Self::Error(_) => MessageType::Error,
            Self::Publish(_) => MessageType::Publish,
            Self::Published(_) => MessageType::Published,
            Self::Subscribe(_) => MessageType::Subscribe,
            Self::Subscribed(_) => MessageType::Subscribed,
            Self::Unsubscribe(_) => MessageType::Unsubscribe,
            Self::Unsubscribed(_) => MessageType::Unsubscribed,
            Self::Event(_) => MessageType::Event,
            Self::Call(_) => MessageType::Call,
            Self::Cancel(_) => MessageType::Cancel,
            Self::Result(_) => MessageType::Result,
            Self::Register(_) => MessageType::Register,
            Self::Registered(_) => MessageType::Registered,
            Self::Unregister(_) => MessageType::Unregister,
            Self::Unregistered(_) => MessageType::Unregistered,
            Self::Invocation(_) => MessageType::Invocation,
            Self::Interrupt(_) => MessageType::Interrupt,
            Self::Yield(_) => MessageType::Yield,
        }
    }

    /// The arguments, of messages that can have some.
    pub const fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Abort(message) => Some(&message.payload),
            Self::Error(message) => Some(&message.payload),
            Self::Publish(message) => Some(&message.payload),
            Self::Event(message) => Some(&message.payload),
            Self::Call(message) => Some(&message.payload),
            Self::Result(message) => Some(&message.payload),
            Self::Invocation(message) => Some(&message.payload),
            Self::Yield(message) => Some(&message.payload),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_to_its_type_and_no_other_does() {
        let known = (0..=1_024)
            .filter_map(MessageType::from_code)
            .collect::<Vec<_>>();
        assert_eq!(known, MessageType::ALL);
        for message_type in MessageType::ALL {
            assert_eq!(
                MessageType::from_code(message_type.code()),
                Some(message_type)
            );
        }
    }

    #[test]
    fn a_message_is_small_enough_to_be_moved_about() {
        assert!(size_of::<Message>() <= 144, "{}", size_of::<Message>());
    }
}
