//! Options and details to bytes: the fields that say something, then all other keys.

use bytes::BytesMut;
use bytestring::ByteString;
use smallvec::SmallVec;

use crate::id::{Id, Kind, SessionId};
use crate::message::{
    CallOptions, CancelMode, EventDetails, HelloDetails, InterruptOptions, InvocationDetails,
    InvocationPolicy, PublishOptions, RegisterOptions, ResultDetails, SubscribeOptions,
    WelcomeDetails, YieldOptions,
};
use crate::serializer::{TranscodeError, Writer, write_entries, write_map};
use crate::uri::MatchPolicy;
use crate::value::Dict;

/// The entries of a map, in order.
pub(super) struct Entries<'a> {
    fields: SmallVec<[(&'static str, Field<'a>); 8]>,
    extra: Option<&'a Dict>,
}

enum Field<'a> {
    Bool(bool),
    Number(u64),
    Text(&'a str),
    Texts(&'a [ByteString]),
    Ids(&'a [SessionId]),
    Map(&'a Dict),
}

impl<'a> Entries<'a> {
    fn with_extra(extra: &'a Dict) -> Self {
        Self {
            fields: SmallVec::new(),
            extra: Some(extra),
        }
    }

    fn put(mut self, key: &'static str, field: Option<Field<'a>>) -> Self {
        self.fields.extend(field.map(|field| (key, field)));
        self
    }

    /// Only if it is true.
    fn flag(self, key: &'static str, bool: bool) -> Self {
        self.put(key, bool.then_some(Field::Bool(true)))
    }

    fn number(self, key: &'static str, number: Option<u64>) -> Self {
        self.put(key, number.map(Field::Number))
    }

    fn id<K: Kind>(self, key: &'static str, id: Option<Id<K>>) -> Self {
        self.number(key, id.map(Id::get))
    }

    fn text(self, key: &'static str, text: Option<&'a ByteString>) -> Self {
        self.put(key, text.map(|text| Field::Text(text)))
    }

    /// A name, unless it is the default.
    fn name(self, key: &'static str, name: &'static str, default: bool) -> Self {
        self.put(key, (!default).then_some(Field::Text(name)))
    }

    fn texts(self, key: &'static str, texts: &'a [ByteString]) -> Self {
        self.put(key, (!texts.is_empty()).then_some(Field::Texts(texts)))
    }

    fn ids(self, key: &'static str, ids: &'a [SessionId]) -> Self {
        self.put(key, (!ids.is_empty()).then_some(Field::Ids(ids)))
    }

    fn map(self, key: &'static str, dict: Option<&'a Dict>) -> Self {
        self.put(key, dict.map(Field::Map))
    }

    pub(super) fn write<W: Writer>(&self, out: &mut BytesMut) -> Result<(), TranscodeError> {
        W::begin_map(out, self.fields.len() + self.extra.map_or(0, Dict::len));
        for (index, (key, field)) in self.fields.iter().enumerate() {
            W::separate(out, index == 0);
            W::key(out, key);
            field
                .write::<W>(out)
                .map_err(|error| error.within_key(key))?;
        }
        if let Some(extra) = self.extra {
            write_entries::<W>(out, extra, self.fields.is_empty())?;
        }
        W::end_map(out);
        Ok(())
    }
}

impl Field<'_> {
    fn write<W: Writer>(&self, out: &mut BytesMut) -> Result<(), TranscodeError> {
        let text = |out: &mut BytesMut, text: &str| {
            W::text(out, text)
                .map_err(|what| TranscodeError::unrepresentable(what, W::SERIALIZER.name()))
        };
        match self {
            Self::Bool(bool) => W::bool(out, *bool),
            Self::Number(number) => W::unsigned(out, *number),
            Self::Text(name) => text(out, name)?,
            Self::Map(dict) => write_map::<W>(out, dict)?,
            Self::Texts(texts) => {
                W::begin_list(out, texts.len());
                for (index, name) in texts.iter().enumerate() {
                    W::separate(out, index == 0);
                    text(out, name).map_err(|error| error.within_item(index))?;
                }
                W::end_list(out);
            }
            Self::Ids(ids) => {
                W::begin_list(out, ids.len());
                for (index, id) in ids.iter().enumerate() {
                    W::separate(out, index == 0);
                    W::unsigned(out, id.get());
                }
                W::end_list(out);
            }
        }
        Ok(())
    }
}

pub(super) fn hello(details: &HelloDetails) -> Entries<'_> {
    Entries::with_extra(&details.extra)
        .map("roles", Some(details.roles.as_dict()))
        .texts("authmethods", &details.authmethods)
        .text("authid", details.authid.as_ref())
        .text("authrole", details.authrole.as_ref())
        .map("authextra", details.authextra.as_ref())
        .text("agent", details.agent.as_ref())
}

pub(super) fn welcome(details: &WelcomeDetails) -> Entries<'_> {
    Entries::with_extra(&details.extra)
        .map("roles", Some(details.roles.as_dict()))
        .text("realm", details.realm.as_ref())
        .text("authid", details.authid.as_ref())
        .text("authrole", details.authrole.as_ref())
        .text("authmethod", details.authmethod.as_ref())
        .text("authprovider", details.authprovider.as_ref())
        .map("authextra", details.authextra.as_ref())
        .text("agent", details.agent.as_ref())
}

pub(super) fn publish(options: &PublishOptions) -> Entries<'_> {
    let entries = Entries::with_extra(&options.extra)
        .flag("acknowledge", options.acknowledge)
        .put(
            "exclude_me",
            (!options.exclude_me).then_some(Field::Bool(false)),
        )
        .flag("disclose_me", options.disclose_me)
        .flag("retain", options.retain);
    let Some(lists) = &options.receivers else {
        return entries;
    };
    entries
        .ids("exclude", &lists.exclude)
        .texts("exclude_authid", &lists.exclude_authid)
        .texts("exclude_authrole", &lists.exclude_authrole)
        .ids("eligible", &lists.eligible)
        .texts("eligible_authid", &lists.eligible_authid)
        .texts("eligible_authrole", &lists.eligible_authrole)
}

pub(super) fn subscribe(options: &SubscribeOptions) -> Entries<'_> {
    let policy = options.match_policy;
    Entries::with_extra(&options.extra)
        .name("match", policy.name(), policy == MatchPolicy::Exact)
        .flag("get_retained", options.get_retained)
}

pub(super) fn event(details: &EventDetails) -> Entries<'_> {
    Entries::with_extra(&details.extra)
        .text("topic", details.topic.as_ref())
        .id("publisher", details.publisher)
        .text("publisher_authid", details.publisher_authid.as_ref())
        .text("publisher_authrole", details.publisher_authrole.as_ref())
        .flag("retained", details.retained)
}

pub(super) fn call(options: &CallOptions) -> Entries<'_> {
    Entries::with_extra(&options.extra)
        .flag("receive_progress", options.receive_progress)
        .flag("progress", options.progress)
        .number("timeout", options.timeout)
        .flag("disclose_me", options.disclose_me)
}

pub(super) fn cancel(mode: Option<CancelMode>, extra: &Dict) -> Entries<'_> {
    Entries::with_extra(extra).put("mode", mode.map(|mode| Field::Text(mode.name())))
}

pub(super) fn result(details: &ResultDetails) -> Entries<'_> {
    Entries::with_extra(&details.extra).flag("progress", details.progress)
}

pub(super) fn yielded(options: &YieldOptions) -> Entries<'_> {
    Entries::with_extra(&options.extra).flag("progress", options.progress)
}

pub(super) fn register(options: &RegisterOptions) -> Entries<'_> {
    let (policy, invoke) = (options.match_policy, options.invoke);
    Entries::with_extra(&options.extra)
        .name("match", policy.name(), policy == MatchPolicy::Exact)
        .name("invoke", invoke.name(), invoke == InvocationPolicy::Single)
        .number("concurrency", options.concurrency)
        .flag("force_reregister", options.force_reregister)
        .flag("disclose_caller", options.disclose_caller)
        .flag("forward_timeout", options.forward_timeout)
}

pub(super) fn invocation(details: &InvocationDetails) -> Entries<'_> {
    Entries::with_extra(&details.extra)
        .text("procedure", details.procedure.as_ref())
        .id("caller", details.caller)
        .text("caller_authid", details.caller_authid.as_ref())
        .text("caller_authrole", details.caller_authrole.as_ref())
        .flag("receive_progress", details.receive_progress)
        .flag("progress", details.progress)
        .number("timeout", details.timeout)
}

pub(super) fn interrupt(options: &InterruptOptions) -> Entries<'_> {
    Entries::with_extra(&options.extra)
        .put("mode", options.mode.map(|mode| Field::Text(mode.name())))
        .text("reason", options.reason.as_ref())
}

pub(super) fn revocation<'a, K: Kind>(
    kind: &'static str,
    id: Id<K>,
    reason: Option<&'a ByteString>,
) -> Entries<'a> {
    Entries {
        fields: SmallVec::new(),
        extra: None,
    }
    .id(kind, Some(id))
    .text("reason", reason)
}
