//! WAMP over WebSocket: the handshake as an answer to an HTTP request, and what a connection is
//! made of once it is a WebSocket. Called by `web.rs`. Spec: "WebSocket Transport", RFC 6455.

mod frame; //   bytes of a frame
mod decoder; // frames become messages

use std::rc::Rc;
use std::sync::Arc;

use actix_http::ws::{CloseCode, CloseReason, HandshakeError};
use actix_web::http::header::{HeaderMap, ORIGIN, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use bytes::BytesMut;
use rewamp_actors::auth::Authenticators;
use rewamp_wamp::framing::{Framing, Wire};
use rewamp_wamp::serializer::Serializer;

use self::decoder::{Decoder, Rules, close_frame, ping_frame};
use super::socket::{Client, Socket};
use super::writer::{Farewell, Heartbeat, PingPlan};
use super::{Door, Established};
use crate::config::checked::WebSocket as Settings;
use crate::config::origin::Origins;

/// WebSockets of one listener or path.
pub(crate) struct WebSocketService {
    serializers: Vec<Serializer>,
    origins: Origins,
    max_message: usize,
    max_frame: usize,
    pings: Option<PingPlan>,
    auth: Arc<Authenticators>,
}

/// What a handshake agreed on; the HTTP server finds it with the request that it has answered.
pub(super) struct Agreed {
    service: Rc<WebSocketService>,
    serializer: Serializer,
    headers: Vec<(String, String)>,
}

impl WebSocketService {
    /// As configured, with the logins of `auth`.
    pub(crate) fn new(settings: &Settings, auth: Arc<Authenticators>) -> Rc<Self> {
        Rc::new(Self {
            serializers: settings.serializers.clone(),
            origins: settings.origins.clone(),
            max_message: settings.max_message_size as usize,
            max_frame: settings.max_frame_size as usize,
            pings: settings.auto_ping_interval.map(|interval| PingPlan {
                interval,
                answer_within: settings.auto_ping_timeout,
            }),
            auth,
        })
    }

    /// The answer to a request that wants to become a WebSocket. With status 101, an [`Agreed`] is
    /// among the request's extensions.
    pub(super) fn handshake(self: &Rc<Self>, request: &HttpRequest) -> HttpResponse {
        let origin = request
            .headers()
            .get(ORIGIN)
            .map(|origin| origin.to_str().unwrap_or("?"));
        if !self.origins.allow(origin) {
            return HttpResponse::Forbidden().body(
                "web pages of this origin may not connect; `allowed_origins` lists who may\n",
            );
        }
        let allowed: Vec<&str> = self.serializers.iter().map(|s| s.subprotocol()).collect();
        let response = match actix_web_actors::ws::handshake_with_protocols(request, &allowed) {
            Ok(mut response) => response.finish(),
            Err(error) => return refusal(&error),
        };
        let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let serializer = chosen
            .and_then(|name| name.to_str().ok())
            .and_then(Serializer::from_subprotocol);
        let Some(serializer) = serializer else {
            return HttpResponse::BadRequest().body(format!(
                "none of the offered WebSocket subprotocols is spoken here, which are {}\n",
                allowed.join(", ")
            ));
        };
        let headers = about(request.headers());
        let service = Rc::clone(self);
        request.extensions_mut().insert(Agreed {
            service,
            serializer,
            headers,
        });
        response
    }
}

/// Says what the request lacks; a browser that opens the address in a tab sees it.
fn refusal(error: &HandshakeError) -> HttpResponse {
    let text = format!("this address speaks WAMP over WebSocket: {error}\n");
    match error {
        HandshakeError::GetMethodRequired => HttpResponse::MethodNotAllowed()
            .insert_header(("allow", "GET"))
            .body(text),
        HandshakeError::UnsupportedVersion => HttpResponse::UpgradeRequired()
            .insert_header(("sec-websocket-version", "13"))
            .body(text),
        HandshakeError::NoWebsocketUpgrade | HandshakeError::NoConnectionUpgrade => {
            HttpResponse::UpgradeRequired()
                .insert_header(("upgrade", "websocket"))
                .body(text)
        }
        _ => HttpResponse::BadRequest().body(text),
    }
}

/// What the client said of itself, for `wamp.session.get`.
fn about(headers: &HeaderMap) -> Vec<(String, String)> {
    [USER_AGENT, ORIGIN]
        .iter()
        .filter_map(|name| {
            Some((
                name.to_string(),
                headers.get(name)?.to_str().ok()?.to_owned(),
            ))
        })
        .collect()
}

impl Agreed {
    /// Starts the session over `client`, which has been answered; `already` are bytes that the
    /// client sent without waiting for the answer.
    pub(super) fn establish<S: Socket>(self, client: Client<S>, already: BytesMut, door: &Door) {
        let Self {
            service,
            serializer,
            headers,
        } = self;
        let rules = Rules {
            serializer,
            max_message: service.max_message,
            max_frame: service.max_frame,
        };
        door.establish(
            client,
            already,
            Established {
                wire: Wire {
                    serializer,
                    framing: Framing::WebSocket,
                },
                decoder: Decoder::new(rules),
                farewell: Farewell::new(close_frame(CloseReason::from(CloseCode::Normal))),
                heartbeat: service.pings.map(|plan| Heartbeat::new(plan, ping_frame())),
                max_message: service.max_message,
                auth: Arc::clone(&service.auth),
                transport: "websocket",
                headers,
            },
        );
    }
}
