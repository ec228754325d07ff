//! Names of what went wrong and of why a session ends: the spec's, Crossbar's and ours.
//! Where a name has no section, the spec's "Basic Profile URIs" or "Advanced Profile URIs" has it.

/// A URI does not follow the rules, or is restricted.
pub const INVALID_URI: &str = "wamp.error.invalid_uri";
/// Nobody offers the procedure.
pub const NO_SUCH_PROCEDURE: &str = "wamp.error.no_such_procedure";
/// The procedure is registered, and not shared.
pub const PROCEDURE_ALREADY_EXISTS: &str = "wamp.error.procedure_already_exists";
/// The registration is shared under another invocation policy.
pub const PROCEDURE_EXISTS_WITH_DIFFERENT_INVOCATION_POLICY: &str =
    "wamp.error.procedure_exists_with_different_invocation_policy";
/// The session does not hold the registration, or nobody does.
pub const NO_SUCH_REGISTRATION: &str = "wamp.error.no_such_registration";
/// The session does not hold the subscription, or there is none.
pub const NO_SUCH_SUBSCRIPTION: &str = "wamp.error.no_such_subscription";
/// There is no session of that ID. Spec: "Session Meta API".
pub const NO_SUCH_SESSION: &str = "wamp.error.no_such_session";
/// An argument is of a wrong type or value; the text names it.
pub const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";
/// The reason given to `wamp.session.kill` is not a URI. Spec: "Session Meta API".
pub const INVALID_REASON: &str = "wamp.error.invalid_reason";
/// The call was canceled.
pub const CANCELED: &str = "wamp.error.canceled";
/// A message is larger than the transport may carry.
pub const PAYLOAD_SIZE_EXCEEDED: &str = "wamp.error.payload_size_exceeded";
/// A message that is malformed or must not be sent now; the session ends.
pub const PROTOCOL_VIOLATION: &str = "wamp.error.protocol_violation";
/// The role does not allow it.
pub const NOT_AUTHORIZED: &str = "wamp.error.not_authorized";
/// Whether the role allows it could not be found out.
pub const AUTHORIZATION_FAILED: &str = "wamp.error.authorization_failed";
/// The realm does not exist.
pub const NO_SUCH_REALM: &str = "wamp.error.no_such_realm";
/// The role does not exist.
pub const NO_SUCH_ROLE: &str = "wamp.error.no_such_role";
/// The user does not exist.
pub const NO_SUCH_PRINCIPAL: &str = "wamp.error.no_such_principal";
/// No authentication method that the client offers is configured.
pub const NO_MATCHING_AUTH_METHOD: &str = "wamp.error.no_matching_auth_method";
/// The authentication was refused.
pub const AUTHENTICATION_DENIED: &str = "wamp.error.authentication_denied";
/// The authentication could not be carried out.
pub const AUTHENTICATION_FAILED: &str = "wamp.error.authentication_failed";
/// The client has to authenticate.
pub const AUTHENTICATION_REQUIRED: &str = "wamp.error.authentication_required";
/// The call took longer than its timeout. Spec: "Call Timeout".
pub const TIMEOUT: &str = "wamp.error.timeout";
/// An option is not allowed here.
pub const OPTION_NOT_ALLOWED: &str = "wamp.error.option_not_allowed";
/// The router does not disclose who asks.
pub const OPTION_DISALLOWED_DISCLOSE_ME: &str = "wamp.error.option_disallowed.disclose_me";
/// The way to the other side failed.
pub const NETWORK_FAILURE: &str = "wamp.error.network_failure";
/// The callee cannot take the call just now. Spec: "Call Rerouting".
pub const UNAVAILABLE: &str = "wamp.error.unavailable";
/// No callee can take the call just now. Spec: "Call Rerouting".
pub const NO_AVAILABLE_CALLEE: &str = "wamp.error.no_available_callee";
/// The callee has not the feature that the call asks for.
pub const FEATURE_NOT_SUPPORTED: &str = "wamp.error.feature_not_supported";

/// The router, or the client altogether, is going down.
pub const CLOSE_SYSTEM_SHUTDOWN: &str = "wamp.close.system_shutdown";
/// The client leaves the realm.
pub const CLOSE_REALM: &str = "wamp.close.close_realm";
/// The answer to GOODBYE.
pub const CLOSE_GOODBYE_AND_OUT: &str = "wamp.close.goodbye_and_out";
/// Somebody ended the session. Spec: "Session Meta API".
pub const CLOSE_KILLED: &str = "wamp.close.killed";
/// The client went without a word; in meta events and logs, never sent to it.
pub const CLOSE_TRANSPORT_LOST: &str = "wamp.close.transport_lost";

/// As in Crossbar: no history filter covers the subscription.
pub const HISTORY_UNAVAILABLE: &str = "wamp.error.history_unavailable";
/// As in Crossbar: what the spec calls `wamp.error.no_matching_auth_method`.
pub const NO_AUTH_METHOD: &str = "wamp.error.no_auth_method";
/// As in Crossbar: something failed inside.
pub const RUNTIME_ERROR: &str = "wamp.error.runtime_error";
/// As in Crossbar: a testament's scope does not exist.
pub const TESTAMENT_ERROR: &str = "wamp.error.testament_error";
/// As in Crossbar: every callee has as many invocations under way as it takes.
pub const MAX_CONCURRENCY_REACHED: &str = "crossbar.error.max_concurrency_reached";

/// The publication is not, or no longer, in this history.
pub const NO_SUCH_PUBLICATION: &str = "rewamp.error.no_such_publication";
/// The cursor belongs to another life of the store.
pub const NO_SUCH_CURSOR: &str = "rewamp.error.no_such_cursor";
/// An event alone is larger than the session's message limit.
pub const EVENT_TOO_LARGE: &str = "rewamp.error.event_too_large";
/// The publication cannot be stored: there is no room for it.
pub const STORE_FULL: &str = "rewamp.error.store_full";
/// The publication was not stored: the store is read-only.
pub const STORE_READONLY: &str = "rewamp.error.store_readonly";
/// The publication was not stored: the store fails, or does not keep up.
pub const STORE_UNAVAILABLE: &str = "rewamp.error.store_unavailable";
/// Replay was asked for on a subscription that the session already holds.
pub const ALREADY_SUBSCRIBED: &str = "rewamp.error.already_subscribed";
/// A session has as many queries, subscriptions or calls under way as it may.
pub const TOO_MANY: &str = "rewamp.error.too_many";
