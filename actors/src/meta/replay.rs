//! `rewamp.subscription.prepare_replay`: for clients whose library cannot send options of its own
//! with SUBSCRIBE.

use bytestring::ByteString;
use rewamp_wamp::error_uri;
use rewamp_wamp::value::{Dict, Value};

use super::{Arguments, Failure};
use crate::history::Replay;
use crate::realm::Realm;
use crate::realm::member::Member;

/// SUBSCRIBEs that one session has prepared and not sent yet, at most.
const PREPARED: usize = 1_024;

/// `rewamp.subscription.prepare_replay(topic|uri, {match|string, …})` → null. The session's next
/// SUBSCRIBE to that topic and match begins as if it had the other keys in `Options._replay`;
/// `_sequence` counts as the option of that name.
pub(super) fn prepare(_: &Realm, member: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let topic = args.text("topic")?;
    let options = match args.required("options")? {
        Value::Map(options) => options,
        other => return Err(args.wrong("options", &other, "a map")),
    };
    let match_policy = args.match_policy(&options)?;
    let (replay, sequenced) =
        read(options).map_err(|what| args.invalid("options", &format!("is refused: {what}")))?;
    let mut prepared = member.prepared.borrow_mut();
    let key = (ByteString::from(topic), match_policy);
    if prepared.len() >= PREPARED && !prepared.contains_key(&key) {
        return Err(Failure::new(
            error_uri::TOO_MANY,
            format!("a session may prepare {PREPARED} subscriptions"),
        ));
    }
    prepared.insert(key, (replay, sequenced));
    Ok(Value::Null)
}

fn read(options: Dict) -> Result<(Replay, bool), String> {
    let mut replay = Dict::new();
    let mut sequenced = false;
    for (key, value) in options {
        match (&*key, value) {
            ("match", _) | ("_sequence", Value::Null) => {}
            ("_sequence", Value::Bool(value)) => sequenced = value,
            ("_sequence", other) => {
                return Err(format!("`_sequence` is {}, expected a bool", other.kind()));
            }
            (_, value) => {
                replay.insert(key, value);
            }
        }
    }
    Replay::read(&Value::Map(replay)).map(|replay| (replay, sequenced))
}
