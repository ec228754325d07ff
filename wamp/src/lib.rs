//! The WAMP v2 protocol as data: what is on the wire, and nothing that moves it.
//! Every other crate speaks in these types. Knows no socket, no actor, no storage, no clock.

pub mod id; //         whom and what a message is about
pub mod uri; //        topics, procedures, patterns
pub mod uri_map; //    which patterns a URI matches
pub mod value; //      a tree of any serializer's data, where one is wanted
pub mod payload; //    arguments as the bytes they came in
pub mod message; //    every message as a struct
pub mod serializer; // JSON, MessagePack, CBOR: bytes of one value
pub mod framing; //    RawSocket and WebSocket frames around a message
pub mod codec; //      bytes ↔ messages
pub mod feature; //    names of what a peer can do
pub mod error_uri; //  names of what went wrong

#[doc(hidden)]
pub mod fuzzing; //     what must hold for any input
