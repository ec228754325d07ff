//! Who is here: `wamp.session.*`. Spec: "Session Meta Procedures".

use rewamp_wamp::error_uri;
use rewamp_wamp::id::SessionId;
use rewamp_wamp::value::Value;

use super::{Arguments, Failure};
use crate::realm::Realm;
use crate::realm::member::Member;

/// `wamp.session.count([filter_authroles|list?])` → number of sessions.
pub(super) fn count(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    Ok(Value::from(filtered(realm, args)?.len() as u64))
}

/// `wamp.session.list([filter_authroles|list?])` → list of session IDs.
pub(super) fn list(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let sessions = filtered(realm, args)?;
    Ok(Value::List(
        sessions
            .into_iter()
            .map(|session| Value::from(session.get()))
            .collect(),
    ))
}

/// `wamp.session.get(session_id|id)` → details of the session, as `on_join` had them.
pub(super) fn get(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let number = args.id("session_id")?;
    let member = SessionId::new(number).and_then(|id| realm.members.get(&id));
    member
        .map(|member| Value::Map(member.details.to_dict()))
        .ok_or_else(|| no_such_session(number))
}

/// The error for a session that is not here.
pub(super) fn no_such_session(number: u64) -> Failure {
    let text = format!("no session with ID {number} exists on this router");
    Failure::new(error_uri::NO_SUCH_SESSION, text)
}

fn filtered(realm: &Realm, args: &mut Arguments) -> Result<Vec<SessionId>, Failure> {
    let name = "filter_authroles";
    let roles = match args.optional(name)? {
        None => None,
        Some(value) => {
            let wrong = || args.wrong(name, &value, "a list of role names");
            let list = value.as_list().ok_or_else(wrong)?;
            let names: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            let names = names.ok_or_else(wrong)?;
            Some(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        }
    };
    let admitted = |member: &Member| {
        roles
            .as_ref()
            .is_none_or(|roles| roles.iter().any(|role| member.details.authrole == *role))
    };
    let sessions = realm.members.values().filter(|member| admitted(member));
    Ok(sessions.map(|member| member.id()).collect())
}
