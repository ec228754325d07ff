//! One client of a test: sends messages and takes apart what its outbox holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rewamp_wamp::codec;
use rewamp_wamp::framing::{Framing, Wire};
use rewamp_wamp::id::{RequestId, SubscriptionId};
use rewamp_wamp::message::{Message, Welcome};
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::value::Value;
use tokio::sync::mpsc;

use super::Fixture;
use crate::session::outbox::{Outbox, OutboxLimits, Take};
use crate::session::{Connection, Frames, Inbound, Peer, start};

/// How long a test waits for what has to come. Never waited for what must not: see
/// [`Client::nothing_more`].
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) struct Client {
    pub(super) outbox: Arc<Outbox>,
    wire: Wire,
    send: Option<mpsc::UnboundedSender<Inbound>>,
    read: BytesMut,
    messages: VecDeque<Message>,
    request: RequestId,
}

impl Client {
    pub(super) fn connect(fixture: &Fixture, serializer: Serializer, max_message: usize) -> Self {
        let (send, mut inbound) = mpsc::unbounded_channel();
        let outbox = Arc::new(Outbox::new(OutboxLimits::default()));
        let wire = Wire {
            serializer,
            framing: Framing::RawSocket,
        };
        let connection = Connection {
            wire,
            outbox: Arc::clone(&outbox),
            peer: Peer {
                transport: "rawsocket",
                address: "test".to_owned(),
                headers: Vec::new(),
            },
            max_message,
            auth: Arc::clone(&fixture.auth),
            router: fixture.router.clone(),
            clock: fixture.clock.clone(),
        };
        start(
            connection,
            futures_util::stream::poll_fn(move |cx| inbound.poll_recv(cx)),
        );
        Self {
            outbox,
            wire,
            send: Some(send),
            read: BytesMut::new(),
            messages: VecDeque::new(),
            request: RequestId::FIRST,
        }
    }

    /// Sends JSON texts as one read, whatever the client's serializer.
    pub(super) fn send(&mut self, texts: &[&str]) {
        let frames = texts.iter().map(|text| self.frame(text)).collect();
        self.send_frames(frames);
    }

    fn frame(&self, text: &str) -> Bytes {
        if self.wire.serializer == Serializer::Json {
            return Bytes::copy_from_slice(text.as_bytes());
        }
        let text = Bytes::copy_from_slice(text.as_bytes());
        let message = codec::decode(Serializer::Json, &text, &Limits::default()).unwrap();
        let mut out = BytesMut::new();
        codec::encode(self.wire.serializer, &message, &mut out).unwrap();
        out.freeze()
    }

    pub(super) fn send_frames(&mut self, frames: Vec<Bytes>) {
        // A session that ended does not take any more, which is what some tests are about.
        // One block, as a transport reads it.
        let mut places = Vec::new();
        let mut block = BytesMut::new();
        for frame in frames {
            block.extend_from_slice(b"head");
            let begin = block.len() as u32;
            block.extend_from_slice(&frame);
            places.push(begin..block.len() as u32);
        }
        let read = vec![Frames::new(block.freeze(), places)];
        let _ = self.send.as_ref().unwrap().send(Inbound::Frames(read));
    }

    /// Closes the connection from this side.
    pub(super) fn close(&mut self) {
        self.send = None;
    }

    pub(super) fn hello(&mut self, realm: &str) {
        self.send(&[&format!(
            r#"[1,"{realm}",{{"roles":{{"subscriber":{{}},"publisher":{{}}}}}}]"#
        )]);
    }

    pub(super) async fn welcome(&mut self) -> Welcome {
        match self.receive().await {
            Message::Welcome(welcome) => welcome,
            other => panic!("{other:?} instead of WELCOME"),
        }
    }

    fn next_request(&mut self) -> u64 {
        let request = self.request;
        self.request = request.next();
        request.get()
    }

    /// Subscribes and waits for the answer.
    pub(super) async fn subscribe(&mut self, topic: &str, policy: &str) -> SubscriptionId {
        let request = self.next_request();
        self.send(&[&format!(
            r#"[32,{request},{{"match":"{policy}"}},"{topic}"]"#
        )]);
        match self.receive().await {
            Message::Subscribed(subscribed) => subscribed.subscription,
            other => panic!("{other:?} instead of SUBSCRIBED"),
        }
    }

    /// Publishes, acknowledged, and waits for the answer.
    pub(super) async fn publish(&mut self, topic: &str, options: &str, args: &str) -> u64 {
        let request = self.next_request();
        let comma = if options.is_empty() { "" } else { "," };
        self.send(&[&format!(
            r#"[16,{request},{{"acknowledge":true{comma}{options}}},"{topic}",{args}]"#
        )]);
        match self.receive().await {
            Message::Published(published) => published.publication.get(),
            other => panic!("{other:?} instead of PUBLISHED"),
        }
    }

    /// Calls with these arguments (`[…]` or `[…],{…}`) and waits: the first positional result, or
    /// the error's URI and text.
    pub(super) async fn call(&mut self, procedure: &str, args: &str) -> Result<Value, String> {
        let request = self.next_request();
        self.send(&[&format!(r#"[48,{request},{{}},"{procedure}",{args}]"#)]);
        match self.receive().await {
            Message::Result(result) => {
                assert_eq!(result.request.get(), request);
                assert!(
                    result.payload.kwargs().is_none(),
                    "results have no keywords"
                );
                let mut args = result.payload.args_value().unwrap();
                assert_eq!(args.len(), 1, "results are one positional argument");
                Ok(args.remove(0))
            }
            Message::Error(error) => {
                let args = error.payload.args_value().unwrap();
                let text = args.first().and_then(Value::as_str).unwrap_or_default();
                Err(format!("{} {text}", error.error))
            }
            other => panic!("{other:?} instead of RESULT"),
        }
    }

    /// The next message.
    pub(super) async fn receive(&mut self) -> Message {
        match tokio::time::timeout(DEADLINE, self.next()).await {
            Ok(Some(message)) => message,
            Ok(None) => panic!("the connection was closed"),
            Err(_) => panic!("nothing came in {DEADLINE:?}"),
        }
    }

    /// The next message as JSON text.
    pub(super) async fn receive_text(&mut self) -> String {
        let message = self.receive().await;
        let mut out = BytesMut::new();
        codec::encode(Serializer::Json, &message, &mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// The next message, or `None` once the router has closed the connection.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Some(message);
            }
            let mut chunks = Vec::new();
            let take =
                std::future::poll_fn(|cx| self.outbox.poll_take(cx, 1 << 20, &mut chunks)).await;
            if take != Take::Write {
                return None;
            }
            chunks
                .iter()
                .for_each(|chunk| self.read.extend_from_slice(chunk));
            self.take_apart();
        }
    }

    /// Nothing came that has not been received: asked with a call, whose answer comes behind all
    /// that was on its way.
    pub(super) async fn nothing_more(&mut self) {
        let answer = self.call("wamp.session.count", "[]").await;
        assert!(answer.is_ok(), "{answer:?}");
    }

    fn take_apart(&mut self) {
        while self.read.len() >= 4 {
            let length = (&self.read[..4]).get_u32() as usize;
            if self.read.len() < 4 + length {
                return;
            }
            self.read.advance(4);
            let frame = self.read.split_to(length).freeze();
            let message = codec::decode(self.wire.serializer, &frame, &Limits::default()).unwrap();
            self.messages.push_back(message);
        }
    }
}
