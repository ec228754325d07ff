//! WAMP over RawSocket: the handshake, and what a connection is made of afterwards.
//! Spec: "RawSocket Transport".

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::spawn;
use bytes::{Bytes, BytesMut};
use log::debug;
use rewamp_actors::auth::Authenticators;
use rewamp_wamp::framing::rawsocket::{
    FrameKind, Handshake, HandshakeError, MAX_PAYLOAD, MaxLength, Refusal, frame_header, split,
};
use rewamp_wamp::framing::{Framing, Wire};
use rewamp_wamp::serializer::Serializer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::listen::Service;
use super::reader::{Batch, Decode, Fault, likely_frames};
use super::socket::{Client, Socket, linger};
use super::writer::Farewell;
use super::{Door, Established};
use crate::config::checked::RawSocket as Settings;

/// How long the handshake may take. It is one round trip.
pub(super) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// What a client is told when there is no room for it.
const BUSY: &[u8] = &Refusal::TooManyConnections.to_bytes();

/// RawSockets of one listener.
pub(crate) struct RawSocketService {
    serializers: Vec<Serializer>,
    max_length: MaxLength,
    auth: Arc<Authenticators>,
}

impl RawSocketService {
    /// As configured, with the logins of `auth`.
    pub(crate) fn new(settings: &Settings, auth: Arc<Authenticators>) -> Rc<Self> {
        Rc::new(Self {
            serializers: settings.serializers.clone(),
            max_length: MaxLength::at_most(settings.max_message_size as usize),
            auth,
        })
    }

    fn agree(&self, request: [u8; 4]) -> Result<Handshake, HandshakeError> {
        let asked = Handshake::parse_request(request)?;
        if self.serializers.contains(&asked.serializer) {
            Ok(asked)
        } else {
            Err(Refusal::SerializerUnsupported.into())
        }
    }

    /// The client's side of the handshake, if it leads to a session.
    async fn handshake<S: Socket>(&self, socket: &mut S) -> io::Result<Option<Handshake>> {
        let mut request = [0; 4];
        socket.read_exact(&mut request).await?;
        match self.agree(request) {
            Ok(asked) => {
                let answer = Handshake {
                    max_length: self.max_length,
                    ..asked
                };
                socket.write_all(&answer.to_bytes()).await?;
                Ok(Some(asked))
            }
            Err(error) => {
                debug!(error:%; "refused a RawSocket handshake");
                if let HandshakeError::Refused(refusal) = error {
                    socket.write_all(&refusal.to_bytes()).await?;
                    socket.shutdown().await?;
                    linger(socket).await;
                }
                Ok(None)
            }
        }
    }

    fn establish<S: Socket>(&self, client: Client<S>, asked: Handshake, door: &Door) {
        door.establish(
            client,
            BytesMut::new(),
            Established {
                wire: Wire {
                    serializer: asked.serializer,
                    framing: Framing::RawSocket,
                },
                decoder: Decoder {
                    limit: self.max_length.bytes(),
                },
                farewell: Farewell::default(),
                heartbeat: None,
                max_message: asked.max_length.bytes().min(MAX_PAYLOAD),
                auth: Arc::clone(&self.auth),
                transport: "rawsocket",
                headers: Vec::new(),
            },
        );
    }
}

/// Serves the clients of one listener.
pub(super) fn service<S: Socket>(service: &Rc<RawSocketService>, door: &Door) -> Service<S> {
    let (service, door) = (Rc::clone(service), door.clone());
    let serve = move |mut client: Client<S>| {
        let (service, door) = (Rc::clone(&service), door.clone());
        spawn(async move {
            let handshake = service.handshake(&mut client.socket);
            match timeout(HANDSHAKE_WITHIN, handshake).await {
                Ok(Ok(Some(asked))) => service.establish(client, asked, &door),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => debug!(error:%; "a connection broke in its handshake"),
                Err(_) => debug!(peer = client.address; "a client did not say what it wants"),
            }
        });
    };
    Service {
        serve: Box::new(serve),
        busy: BUSY,
    }
}

/// Messages and pings from a client.
struct Decoder {
    /// Bytes that a message may have: what the handshake has told the client.
    limit: usize,
}

impl Decode for Decoder {
    fn decode(&mut self, read: &mut BytesMut, batch: &mut Batch) -> Result<(), Fault> {
        let mut places = Vec::new();
        let mut taken = 0;
        let rest = split(read, self.limit, |kind, content| {
            if places.is_empty() {
                places.reserve(likely_frames(read.len(), content.len()));
            }
            taken = content.end;
            match kind {
                FrameKind::Message => places.push(content.start as u32..content.end as u32),
                FrameKind::Ping => answer(batch, read.get(content).unwrap_or_default()),
                FrameKind::Pong => {}
            }
        });
        batch.take(read, taken, places);
        match rest {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault {
                text: error.to_string(),
                farewell: Bytes::new(),
            }),
        }
    }
}

fn answer(batch: &mut Batch, payload: &[u8]) {
    if let Some(header) = frame_header(FrameKind::Pong, payload.len()) {
        batch.answers.extend_from_slice(&header);
        batch.answers.extend_from_slice(payload);
        batch.answered += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rewamp_actors::session::Frames;

    fn check(bytes: &[u8], messages: &[&[u8]], answers: &[u8], left: usize) {
        let (mut read, mut batch) = (BytesMut::from(bytes), Batch::default());
        Decoder { limit: 512 }
            .decode(&mut read, &mut batch)
            .unwrap();
        let found: Vec<Bytes> = batch.frames.iter().flat_map(Frames::messages).collect();
        assert_eq!(found, messages, "{bytes:?}");
        assert_eq!(
            (&batch.answers[..], read.len()),
            (answers, left),
            "{bytes:?}"
        );
    }

    #[test]
    fn one_read_gives_its_whole_messages_and_leaves_the_rest() {
        check(
            &[0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 9, b'c'],
            &[b"ab", b""],
            &[],
            5,
        );
        check(&[0, 0], &[], &[], 2);
    }

    #[test]
    fn a_ping_is_answered_with_its_own_payload() {
        check(
            &[1, 0, 0, 1, b'?', 0, 0, 0, 1, b'm'],
            &[b"m"],
            &[2, 0, 0, 1, b'?'],
            0,
        );
        check(&[2, 0, 0, 1, b'!'], &[], &[], 0);
    }

    #[test]
    fn a_fault_is_named_after_the_messages_before_it() {
        let (mut read, mut batch) = (
            BytesMut::from(&[0, 0, 0, 1, b'm', 0, 0, 2, 1][..]),
            Batch::default(),
        );
        let fault = Decoder { limit: 512 }
            .decode(&mut read, &mut batch)
            .unwrap_err();
        assert_eq!(
            fault.text,
            "a frame of 513 bytes is too long, 512 are allowed"
        );
        let found: Vec<Bytes> = batch.frames.iter().flat_map(Frames::messages).collect();
        assert_eq!(found, [&b"m"[..]]);
    }
}
