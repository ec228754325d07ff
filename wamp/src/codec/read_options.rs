//! Bytes to options and details: which keys have a field of their own.

use bytestring::ByteString;

use super::fault::Wrong;
use super::fields::Fields;
use crate::id::{Id, Kind};
use crate::message::{
    CallOptions, CancelMode, EventDetails, HelloDetails, InterruptOptions, InvocationDetails,
    InvocationPolicy, PublishOptions, ReceiverLists, RegisterOptions, ResultDetails, Roles,
    SubscribeOptions, WelcomeDetails, YieldOptions,
};
use crate::serializer::Reader;
use crate::uri::MatchPolicy;
use crate::value::Dict;

const MATCH_NAMES: &str = "\"exact\", \"prefix\" or \"wildcard\"";
const INVOKE_NAMES: &str = "\"single\", \"first\", \"last\", \"roundrobin\" or \"random\"";
const MODE_NAMES: &str = "\"skip\", \"kill\" or \"killnowait\"";

type Decoded<T> = Result<T, Wrong>;

pub(super) fn hello<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<HelloDetails> {
    let mut details = HelloDetails::default();
    fields.options("Details", 3, &mut details.extra, |entry, key| {
        match key {
            b"roles" => {
                details.roles = Roles::from_dict(entry.map("roles")?.unwrap_or_default());
            }
            b"authmethods" => details.authmethods = entry.texts("authmethods")?,
            b"authid" => details.authid = entry.text("authid")?,
            b"authrole" => details.authrole = entry.text("authrole")?,
            b"authextra" => details.authextra = entry.map("authextra")?,
            b"agent" => details.agent = entry.text("agent")?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(details)
}

pub(super) fn welcome<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<WelcomeDetails> {
    let mut details = WelcomeDetails::default();
    fields.options("Details", 3, &mut details.extra, |entry, key| {
        match key {
            b"roles" => {
                details.roles = Roles::from_dict(entry.map("roles")?.unwrap_or_default());
            }
            b"realm" => details.realm = entry.text("realm")?,
            b"authid" => details.authid = entry.text("authid")?,
            b"authrole" => details.authrole = entry.text("authrole")?,
            b"authmethod" => details.authmethod = entry.text("authmethod")?,
            b"authprovider" => details.authprovider = entry.text("authprovider")?,
            b"authextra" => details.authextra = entry.map("authextra")?,
            b"agent" => details.agent = entry.text("agent")?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(details)
}

pub(super) fn publish<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<PublishOptions> {
    let mut options = PublishOptions::default();
    fields.options("Options", 4, &mut options.extra, |entry, key| {
        let lists = &mut options.receivers;
        match key {
            b"acknowledge" => options.acknowledge = entry.bool("acknowledge")?.unwrap_or(false),
            b"exclude_me" => options.exclude_me = entry.bool("exclude_me")?.unwrap_or(true),
            b"disclose_me" => options.disclose_me = entry.bool("disclose_me")?.unwrap_or(false),
            b"retain" => options.retain = entry.bool("retain")?.unwrap_or(false),
            b"exclude" => set(lists, entry.ids("exclude")?, |lists| &mut lists.exclude),
            b"exclude_authid" => set(lists, entry.texts("exclude_authid")?, |lists| {
                &mut lists.exclude_authid
            }),
            b"exclude_authrole" => set(lists, entry.texts("exclude_authrole")?, |lists| {
                &mut lists.exclude_authrole
            }),
            b"eligible" => set(lists, entry.ids("eligible")?, |lists| &mut lists.eligible),
            b"eligible_authid" => set(lists, entry.texts("eligible_authid")?, |lists| {
                &mut lists.eligible_authid
            }),
            b"eligible_authrole" => set(lists, entry.texts("eligible_authrole")?, |lists| {
                &mut lists.eligible_authrole
            }),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    options.receivers = options.receivers.filter(|lists| !lists.is_empty());
    Ok(options)
}

/// Room for lists is made by the first one with something in it.
fn set<T>(
    lists: &mut Option<Box<ReceiverLists>>,
    list: Vec<T>,
    place: impl FnOnce(&mut ReceiverLists) -> &mut Vec<T>,
) {
    if lists.is_some() || !list.is_empty() {
        *place(lists.get_or_insert_default()) = list;
    }
}

pub(super) fn subscribe<'a, R: Reader<'a>>(
    fields: &mut Fields<'_, R>,
) -> Decoded<SubscribeOptions> {
    let mut options = SubscribeOptions::default();
    fields.options("Options", 4, &mut options.extra, |entry, key| {
        match key {
            b"match" => {
                let policy = entry.name("match", MatchPolicy::from_name, MATCH_NAMES)?;
                options.match_policy = policy.unwrap_or_default();
            }
            b"get_retained" => {
                options.get_retained = entry.bool("get_retained")?.unwrap_or(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

pub(super) fn event<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<EventDetails> {
    let mut details = EventDetails::default();
    fields.options("Details", 4, &mut details.extra, |entry, key| {
        match key {
            b"topic" => details.topic = entry.text("topic")?,
            b"publisher" => details.publisher = entry.id("publisher")?,
            b"publisher_authid" => details.publisher_authid = entry.text("publisher_authid")?,
            b"publisher_authrole" => {
                details.publisher_authrole = entry.text("publisher_authrole")?;
            }
            b"retained" => details.retained = entry.bool("retained")?.unwrap_or(false),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(details)
}

pub(super) fn call<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<CallOptions> {
    let mut options = CallOptions::default();
    fields.options("Options", 4, &mut options.extra, |entry, key| {
        match key {
            b"receive_progress" => {
                options.receive_progress = entry.bool("receive_progress")?.unwrap_or(false);
            }
            b"progress" => options.progress = entry.bool("progress")?.unwrap_or(false),
            b"timeout" => options.timeout = entry.unsigned("timeout")?.filter(|&ms| ms > 0),
            b"disclose_me" => options.disclose_me = entry.bool("disclose_me")?.unwrap_or(false),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

pub(super) fn cancel<'a, R: Reader<'a>>(
    fields: &mut Fields<'_, R>,
) -> Decoded<(Option<CancelMode>, Dict)> {
    let mut mode = None;
    let mut extra = Dict::new();
    fields.options("Options", 3, &mut extra, |entry, key| {
        match key {
            b"mode" => mode = entry.name("mode", CancelMode::from_name, MODE_NAMES)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((mode, extra))
}

pub(super) fn result<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<ResultDetails> {
    let (progress, extra) = progress(fields, "Details")?;
    Ok(ResultDetails { progress, extra })
}

pub(super) fn yielded<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<YieldOptions> {
    let (progress, extra) = progress(fields, "Options")?;
    Ok(YieldOptions { progress, extra })
}

fn progress<'a, R: Reader<'a>>(
    fields: &mut Fields<'_, R>,
    element: &'static str,
) -> Decoded<(bool, Dict)> {
    let mut progress = false;
    let mut extra = Dict::new();
    fields.options(element, 3, &mut extra, |entry, key| {
        match key {
            b"progress" => progress = entry.bool("progress")?.unwrap_or(false),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((progress, extra))
}

pub(super) fn register<'a, R: Reader<'a>>(fields: &mut Fields<'_, R>) -> Decoded<RegisterOptions> {
    let mut options = RegisterOptions::default();
    fields.options("Options", 4, &mut options.extra, |entry, key| {
        match key {
            b"match" => {
                let policy = entry.name("match", MatchPolicy::from_name, MATCH_NAMES)?;
                options.match_policy = policy.unwrap_or_default();
            }
            b"invoke" => {
                let policy = entry.name("invoke", InvocationPolicy::from_name, INVOKE_NAMES)?;
                options.invoke = policy.unwrap_or_default();
            }
            b"concurrency" => {
                options.concurrency = entry.unsigned("concurrency")?.filter(|&calls| calls > 0);
            }
            b"force_reregister" => {
                options.force_reregister = entry.bool("force_reregister")?.unwrap_or(false);
            }
            b"disclose_caller" => {
                options.disclose_caller = entry.bool("disclose_caller")?.unwrap_or(false);
            }
            b"forward_timeout" => {
                options.forward_timeout = entry.bool("forward_timeout")?.unwrap_or(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

pub(super) fn invocation<'a, R: Reader<'a>>(
    fields: &mut Fields<'_, R>,
) -> Decoded<InvocationDetails> {
    let mut details = InvocationDetails::default();
    fields.options("Details", 4, &mut details.extra, |entry, key| {
        match key {
            b"procedure" => details.procedure = entry.text("procedure")?,
            b"caller" => details.caller = entry.id("caller")?,
            b"caller_authid" => details.caller_authid = entry.text("caller_authid")?,
            b"caller_authrole" => details.caller_authrole = entry.text("caller_authrole")?,
            b"receive_progress" => {
                details.receive_progress = entry.bool("receive_progress")?.unwrap_or(false);
            }
            b"progress" => details.progress = entry.bool("progress")?.unwrap_or(false),
            b"timeout" => details.timeout = entry.unsigned("timeout")?.filter(|&ms| ms > 0),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(details)
}

pub(super) fn interrupt<'a, R: Reader<'a>>(
    fields: &mut Fields<'_, R>,
) -> Decoded<InterruptOptions> {
    let mut options = InterruptOptions::default();
    fields.options("Options", 3, &mut options.extra, |entry, key| {
        match key {
            b"mode" => options.mode = entry.name("mode", CancelMode::from_name, MODE_NAMES)?,
            b"reason" => options.reason = entry.text("reason")?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}

/// `{<kind>: id, reason: uri}` of UNSUBSCRIBED and UNREGISTERED with request 0.
pub(super) fn revocation<'a, R: Reader<'a>, K: Kind>(
    fields: &mut Fields<'_, R>,
    kind: &'static str,
) -> Decoded<(Id<K>, Option<ByteString>)> {
    let (mut id, mut reason) = (None, None);
    fields.options("Details", 3, &mut Dict::new(), |entry, key| {
        match key {
            b"reason" => reason = entry.text("reason")?,
            _ if key == kind.as_bytes() => id = entry.id(kind)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let id = id.ok_or_else(|| fields.wrong(&format!("`{kind}` is needed")))?;
    Ok((id, reason))
}
