//! Names of roles and of their features, as HELLO and WELCOME announce them.
//! Spec: "Feature Announcement" of each section.

/// Roles of a client and of a router.
pub mod role {
    /// Publishes events.
    pub const PUBLISHER: &str = "publisher";
    /// Receives events.
    pub const SUBSCRIBER: &str = "subscriber";
    /// Calls procedures.
    pub const CALLER: &str = "caller";
    /// Offers procedures.
    pub const CALLEE: &str = "callee";
    /// Routes events.
    pub const BROKER: &str = "broker";
    /// Routes calls.
    pub const DEALER: &str = "dealer";
}

/// Spec: "Publisher Identification".
pub const PUBLISHER_IDENTIFICATION: &str = "publisher_identification";
/// Spec: "Publisher Exclusion".
pub const PUBLISHER_EXCLUSION: &str = "publisher_exclusion";
/// Spec: "Subscriber Black- and Whitelisting".
pub const SUBSCRIBER_BLACKWHITE_LISTING: &str = "subscriber_blackwhite_listing";
/// Spec: "Pattern-based Subscription".
pub const PATTERN_BASED_SUBSCRIPTION: &str = "pattern_based_subscription";
/// Spec: "Publication Trust Levels".
pub const PUBLICATION_TRUSTLEVELS: &str = "publication_trustlevels";
/// Spec: "Sharded Subscription".
pub const SHARDED_SUBSCRIPTION: &str = "sharded_subscription";
/// Spec: "Event History".
pub const EVENT_HISTORY: &str = "event_history";
/// Ours: SUBSCRIBE with `Options._replay` begins with the past.
pub const REPLAY: &str = "_replay";
/// Spec: "Event Retention".
pub const EVENT_RETENTION: &str = "event_retention";
/// Spec: "Subscription Revocation".
pub const SUBSCRIPTION_REVOCATION: &str = "subscription_revocation";
/// Spec: "Session Meta API".
pub const SESSION_META_API: &str = "session_meta_api";
/// Spec: "Subscription Meta API".
pub const SUBSCRIPTION_META_API: &str = "subscription_meta_api";
/// Spec: "Registration Meta API".
pub const REGISTRATION_META_API: &str = "registration_meta_api";
/// Spec: "Session Testament".
pub const TESTAMENT_META_API: &str = "testament_meta_api";
/// Spec: "Progressive Call Results".
pub const PROGRESSIVE_CALL_RESULTS: &str = "progressive_call_results";
/// Spec: "Progressive Call Invocations".
pub const PROGRESSIVE_CALL_INVOCATIONS: &str = "progressive_call_invocations";
/// Spec: "Call Timeout".
pub const CALL_TIMEOUT: &str = "call_timeout";
/// Spec: "Call Canceling".
pub const CALL_CANCELING: &str = "call_canceling";
/// Spec: "Call Rerouting".
pub const CALL_REROUTE: &str = "call_reroute";
/// Spec: "Caller Identification".
pub const CALLER_IDENTIFICATION: &str = "caller_identification";
/// Spec: "Call Trust Levels".
pub const CALL_TRUSTLEVELS: &str = "call_trustlevels";
/// Spec: "Pattern-based Registration".
pub const PATTERN_BASED_REGISTRATION: &str = "pattern_based_registration";
/// Spec: "Shared Registration".
pub const SHARED_REGISTRATION: &str = "shared_registration";
/// Spec: "Sharded Registration".
pub const SHARDED_REGISTRATION: &str = "sharded_registration";
/// Spec: "Registration Revocation".
pub const REGISTRATION_REVOCATION: &str = "registration_revocation";
/// Spec: "Payload Passthru Mode".
pub const PAYLOAD_PASSTHRU_MODE: &str = "payload_passthru_mode";
/// Opaque payloads, see [`crate::payload::is_opaque`]. Crossbar's name.
pub const PAYLOAD_TRANSPARENCY: &str = "payload_transparency";
/// Opaque payloads that the clients encrypt with cryptobox. Crossbar's name.
pub const PAYLOAD_ENCRYPTION_CRYPTOBOX: &str = "payload_encryption_cryptobox";
