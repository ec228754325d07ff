//! Messages between callers, dealer and callees. Spec: "Remote Procedure Calls".

use bytestring::ByteString;

use crate::id::{RegistrationId, RequestId, SessionId};
use crate::payload::Payload;
use crate::uri::MatchPolicy;
use crate::value::Dict;

/// `[48, Request|id, Options|dict, Procedure|uri, Arguments|list?, ArgumentsKw|dict?]`,
/// spec: "CALL". Caller to dealer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The caller's number for it.
    pub request: RequestId,
    /// How to call.
    pub options: CallOptions,
    /// What; not checked to be a URI.
    pub procedure: ByteString,
    /// With what, as the bytes came in.
    pub payload: Payload,
}

/// `CALL.Options`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallOptions {
    /// Whether results may come in parts. Spec: "Progressive Call Results".
    pub receive_progress: bool,
    /// Whether more arguments follow. Spec: "Progressive Call Invocations".
    pub progress: bool,
    /// Milliseconds after which the call is canceled; `None` (0 on the wire as well) means never.
    /// Spec: "Call Timeout".
    pub timeout: Option<u64>,
    /// Whether the caller wants to be named. Spec: "Caller Identification".
    pub disclose_me: bool,
    /// All other keys.
    pub extra: Dict,
}

/// `[49, CALL.Request|id, Options|dict]`, spec: "CANCEL". Caller to dealer.
#[derive(Debug, Clone, PartialEq)]
pub struct Cancel {
    /// Which CALL.
    pub request: RequestId,
    /// `Options.mode`: what is to happen to the invocation.
    pub mode: Option<CancelMode>,
    /// All other options.
    pub extra: Dict,
}

/// What becomes of a canceled call. Spec: "Call Canceling".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelMode {
    /// `"skip"`: the caller gets its ERROR, the callee hears nothing.
    Skip,
    /// `"kill"`: the callee is interrupted, and its answer is the caller's.
    Kill,
    /// `"killnowait"`: the callee is interrupted, and the caller gets its ERROR at once.
    KillNoWait,
}

impl CancelMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Kill, Self::KillNoWait];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Kill => "kill",
            Self::KillNoWait => "killnowait",
        }
    }

    /// The mode of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// `[50, CALL.Request|id, Details|dict, YIELD.Arguments|list?, YIELD.ArgumentsKw|dict?]`,
/// spec: "RESULT". Dealer to caller.
#[derive(Debug, Clone, PartialEq)]
pub struct CallResult {
    /// Which CALL.
    pub request: RequestId,
    /// About the result.
    pub details: ResultDetails,
    /// What came of it.
    pub payload: Payload,
}

/// `RESULT.Details`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultDetails {
    /// Whether more follows; not written if false.
    pub progress: bool,
    /// All other keys.
    pub extra: Dict,
}

/// `[64, Request|id, Options|dict, Procedure|uri]`, spec: "REGISTER". Callee to dealer.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// The callee's number for it.
    pub request: RequestId,
    /// How to register.
    pub options: RegisterOptions,
    /// What; not checked to be a URI or pattern.
    pub procedure: ByteString,
}

/// `REGISTER.Options`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RegisterOptions {
    /// How procedures are compared, key `match`.
    pub match_policy: MatchPolicy,
    /// Which of several callees is invoked.
    pub invoke: InvocationPolicy,
    /// Invocations that the callee takes at the same time; `None` (0 on the wire as well) means
    /// any number.
    pub concurrency: Option<u64>,
    /// Whether an existing registration is to give way.
    pub force_reregister: bool,
    /// Whether the callee wants to hear who calls.
    pub disclose_caller: bool,
    /// Whether the callee itself watches `CALL.Options.timeout`. Spec: "Call Timeout".
    pub forward_timeout: bool,
    /// All other keys.
    pub extra: Dict,
}

/// Which callee of a procedure is invoked, `REGISTER.Options.invoke`. Spec: "Shared Registration".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InvocationPolicy {
    /// `"single"`: there is only one.
    #[default]
    Single,
    /// `"first"`: who registered first.
    First,
    /// `"last"`: who registered last.
    Last,
    /// `"roundrobin"`: one after another.
    RoundRobin,
    /// `"random"`: any.
    Random,
}

impl InvocationPolicy {
    /// All policies.
    pub const ALL: [Self; 5] = [
        Self::Single,
        Self::First,
        Self::Last,
        Self::RoundRobin,
        Self::Random,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::First => "first",
            Self::Last => "last",
            Self::RoundRobin => "roundrobin",
            Self::Random => "random",
        }
    }

    /// The policy of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// `[65, REGISTER.Request|id, Registration|id]`, spec: "REGISTERED". Dealer to callee.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// Which REGISTER.
    pub request: RequestId,
    /// The registration's ID.
    pub registration: RegistrationId,
}

/// `[66, Request|id, REGISTERED.Registration|id]`, spec: "UNREGISTER". Callee to dealer.
#[derive(Debug, Clone, PartialEq)]
pub struct Unregister {
    /// The callee's number for it.
    pub request: RequestId,
    /// Which registration.
    pub registration: RegistrationId,
}

/// Spec: "UNREGISTERED", "Registration Revocation". Dealer to callee.
#[derive(Debug, Clone, PartialEq)]
pub enum Unregistered {
    /// `[67, UNREGISTER.Request|id]`: as asked.
    Answer {
        /// Which UNREGISTER.
        request: RequestId,
    },
    /// `[67, 0, Details|dict]`: the router took the registration away.
    Revoked {
        /// Which registration.
        registration: RegistrationId,
        /// Why.
        reason: Option<ByteString>,
    },
}

/// `[68, Request|id, REGISTERED.Registration|id, Details|dict, CALL.Arguments|list?,
/// CALL.ArgumentsKw|dict?]`, spec: "INVOCATION". Dealer to callee.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The dealer's number for it.
    pub request: RequestId,
    /// What is invoked.
    pub registration: RegistrationId,
    /// About the call.
    pub details: Box<InvocationDetails>,
    /// With what.
    pub payload: Payload,
}

/// `INVOCATION.Details`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InvocationDetails {
    /// The procedure called, where the registration is a pattern.
    pub procedure: Option<ByteString>,
    /// The caller's session, where it is disclosed.
    pub caller: Option<SessionId>,
    /// The caller's user, where it is disclosed.
    pub caller_authid: Option<ByteString>,
    /// The caller's role, where it is disclosed.
    pub caller_authrole: Option<ByteString>,
    /// Whether the caller takes results in parts; not written if false.
    pub receive_progress: bool,
    /// Whether more arguments follow; not written if false.
    pub progress: bool,
    /// Milliseconds that the caller gives it, where the callee watches that itself.
    pub timeout: Option<u64>,
    /// All other keys.
    pub extra: Dict,
}

/// `[69, INVOCATION.Request|id, Options|dict]`, spec: "INTERRUPT". Dealer to callee.
#[derive(Debug, Clone, PartialEq)]
pub struct Interrupt {
    /// Which INVOCATION.
    pub request: RequestId,
    /// Why and how.
    pub options: InterruptOptions,
}

/// `INTERRUPT.Options`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InterruptOptions {
    /// What the caller asked for.
    pub mode: Option<CancelMode>,
    /// Why, as an error URI.
    pub reason: Option<ByteString>,
    /// All other keys.
    pub extra: Dict,
}

/// `[70, INVOCATION.Request|id, Options|dict, Arguments|list?, ArgumentsKw|dict?]`,
/// spec: "YIELD". Callee to dealer.
#[derive(Debug, Clone, PartialEq)]
pub struct Yield {
    /// Which INVOCATION.
    pub request: RequestId,
    /// About the result.
    pub options: YieldOptions,
    /// The result, as the bytes came in.
    pub payload: Payload,
}

/// `YIELD.Options`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct YieldOptions {
    /// Whether more follows.
    pub progress: bool,
    /// All other keys.
    pub extra: Dict,
}
