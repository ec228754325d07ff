//! What there is in a history, as the RESULT of `rewamp.subscription.history_info`: one map. Made on
//! a reader's thread, like a page.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rewamp_history::{Event, EventStore, Info, Position, Span};
use rewamp_wamp::message::{CallResult, Message, ResultDetails};
use rewamp_wamp::value::{Dict, Value};

use super::record::rfc3339;
use super::turn::Pending;
use super::{Question, page};
use crate::session::encoding;

/// Answers a question with one framed message: RESULT, or ERROR.
pub(super) fn answer(
    store: &dyn EventStore,
    pending: &Pending,
    question: &Question,
    limits: &Dict,
) -> Bytes {
    let pending: [&[Arc<Event>]; 2] = [&pending[0], &pending[1]];
    let query = &question.query;
    let info = match store.info(&query.scope, &query.viewer, &pending) {
        Ok(info) => describe(store, question, limits, info),
        Err(error) => return page::failure(question, &error.into()),
    };
    let message = Message::Result(CallResult {
        request: question.request,
        details: ResultDetails::default(),
        payload: encoding::arguments(question.wire.serializer, &[Value::Map(info)], None),
    });
    let mut frame = BytesMut::new();
    encoding::append(question.wire, &message, &mut frame);
    frame.freeze()
}

fn describe(store: &dyn EventStore, question: &Question, limits: &Dict, info: Info) -> Dict {
    let Info {
        span: Span { oldest, newest },
        events,
        bytes,
    } = info;
    let scope = &question.query.scope;
    let lost = store.lost().into_iter().map(|lost| {
        Value::Map(Dict::from([
            ("from", Value::from(lost.from.get())),
            ("to", Value::from(lost.to.get())),
            ("why", Value::from(lost.why)),
        ]))
    });
    Dict::from([
        ("subscription", Value::from(question.subscription.get())),
        ("uri", Value::from(scope.uri.clone())),
        ("match", Value::from(scope.match_policy.name())),
        ("oldest", position(oldest)),
        ("newest", position(newest)),
        ("count", Value::from(events)),
        ("bytes", Value::from(bytes)),
        ("limits", Value::Map(limits.clone())),
        (
            "incarnation",
            Value::from(store.opened().incarnation.to_string()),
        ),
        ("lost", Value::List(lost.collect())),
    ])
}

/// Where an event stands, or null.
pub(super) fn position(position: Option<Position>) -> Value {
    position.map_or(Value::Null, |position| {
        Value::Map(Dict::from([
            ("publication", Value::from(position.publication.get())),
            ("sequence", Value::from(position.sequence.get())),
            ("timestamp", Value::from(rfc3339(position.time.nanos()))),
        ]))
    })
}
