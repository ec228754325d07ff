//! Who a session is: what its realm, its peers and `wamp.session.get` know of it.

use bytes::BytesMut;
use bytestring::ByteString;
use rewamp_history::{Timestamp, Visit};
use rewamp_wamp::id::SessionId;
use rewamp_wamp::message::Roles;
use rewamp_wamp::serializer::{Serializer, append_value};
use rewamp_wamp::value::{Dict, Value};

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `websocket` or `rawsocket`.
    pub transport: &'static str,
    /// Such as `tcp4:127.0.0.1:50312` or `unix:/run/rewamp.sock`.
    pub address: String,
    /// What the client's HTTP request said of itself, where there was one: `user-agent`, `origin`.
    pub headers: Vec<(String, String)>,
}

/// A session that has been authenticated.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionDetails {
    /// Its ID, drawn at random.
    pub id: SessionId,
    /// The realm it joined.
    pub realm: ByteString,
    /// Who it is.
    pub authid: ByteString,
    /// In which role.
    pub authrole: ByteString,
    /// How it showed that.
    pub authmethod: &'static str,
    /// Who vouches for it.
    pub authprovider: &'static str,
    /// What it can do.
    pub roles: Roles,
    /// Its connection.
    pub peer: Peer,
    /// What it speaks.
    pub serializer: Serializer,
}

impl SessionDetails {
    /// What `wamp.session.on_join` and `wamp.session.get` show: the spec's keys, and the
    /// `transport` and serializer as Crossbar has them. Spec: "Session Metaevents".
    #[must_use]
    pub fn to_dict(&self) -> Dict {
        let transport = Dict::from([
            ("channel_type", Value::from(self.peer.transport)),
            ("peer", Value::from(self.peer.address.as_str())),
            ("http_headers_received", Value::Map(self.headers())),
        ]);
        Dict::from([
            ("session", Value::from(self.id.get())),
            ("realm", Value::from(self.realm.clone())),
            ("authid", Value::from(self.authid.clone())),
            ("authrole", Value::from(self.authrole.clone())),
            ("authmethod", Value::from(self.authmethod)),
            ("authprovider", Value::from(self.authprovider)),
            ("authextra", Value::Null),
            ("serializer", Value::from(self.serializer.name())),
            ("transport", Value::Map(transport)),
        ])
    }

    /// The session as stores keep it that have a place for sessions: the transport is written as
    /// Autobahn's `TransportDetails` are.
    #[must_use]
    pub fn visit(&self, joined: Timestamp) -> Visit {
        let scheme = self.peer.address.split(':').next().unwrap_or_default();
        let channel = scheme.starts_with("tcp").then_some("tcp");
        let transport = Dict::from([
            ("channel_type", channel.map_or(Value::Null, Value::from)),
            ("channel_framing", Value::from(self.peer.transport)),
            ("channel_serializer", Value::from(self.serializer.name())),
            ("peer", Value::from(self.peer.address.as_str())),
            ("is_server", Value::from(true)),
            ("http_headers_received", Value::Map(self.headers())),
        ]);
        let mut cbor = BytesMut::new();
        // Texts and a truth value: CBOR has them all.
        let _ = append_value(Serializer::Cbor, &Value::Map(transport), &mut cbor);
        Visit {
            session: self.id,
            joined,
            authid: self.authid.clone(),
            authrole: self.authrole.clone(),
            authmethod: ByteString::from_static(self.authmethod),
            authprovider: ByteString::from_static(self.authprovider),
            transport: cbor.freeze(),
        }
    }

    fn headers(&self) -> Dict {
        let headers = self.peer.headers.iter();
        let texts = headers.map(|(name, value)| {
            let value = Value::from(ByteString::from(value.as_str()));
            (ByteString::from(name.as_str()), value)
        });
        texts.collect()
    }
}
