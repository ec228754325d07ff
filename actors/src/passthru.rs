//! What passes from the one who sends to the one who receives besides arguments: the options that
//! say how a payload is to be read. Spec: "Payload Passthru Mode"; for opaque payloads as at
//! Crossbar.

use rewamp_wamp::payload::{ENC_ALGO, ENC_KEY, ENC_SERIALIZER};
use rewamp_wamp::value::Dict;

/// The options among these that the receiver gets as details.
pub(crate) fn passed_on(options: &Dict) -> Dict {
    if options.is_empty() {
        return Dict::new();
    }
    let passed = options
        .iter()
        .filter(|(key, _)| key.starts_with("ppt_") || is_of_opaque(key));
    passed
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn is_of_opaque(key: &str) -> bool {
    [ENC_ALGO, ENC_KEY, ENC_SERIALIZER].contains(&key)
}
