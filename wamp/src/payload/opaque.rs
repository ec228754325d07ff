//! Opaque payloads: one text or binary value in place of the arguments, encrypted or otherwise
//! only for the one who receives it. Options and details say so by `enc_algo`. Not in the spec's
//! text but in its test vectors, in Crossbar (`payload_transparency`) and in Autobahn.

use crate::serializer::Serializer;
use crate::value::{Dict, Value};

/// Says how an opaque payload is encrypted: `cryptobox`, `mqtt`, `xbr`, or `x_…` for what others
/// have agreed on.
pub const ENC_ALGO: &str = "enc_algo";
/// The key that it is encrypted with, as far as the receiver has to be told.
pub const ENC_KEY: &str = "enc_key";
/// What is encrypted: `json`, `msgpack`, `cbor`, …
pub const ENC_SERIALIZER: &str = "enc_serializer";

/// The options or details among these that say how a payload is to be read, and so pass from the one
/// who sends to the one who receives: `enc_…`, and `ppt_…` of the spec's "Payload Passthru Mode".
#[must_use]
pub fn about_payload(options: &Dict) -> Dict {
    let is_about =
        |key: &str| key.starts_with("ppt_") || [ENC_ALGO, ENC_KEY, ENC_SERIALIZER].contains(&key);
    let about = options.iter().filter(|(key, _)| is_about(key));
    about
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Why a message may not have an opaque payload; `Ok` if it may.
pub(crate) fn allowed_by(options: &Dict) -> Result<(), &'static str> {
    match options.get(ENC_ALGO) {
        None => Err("expected a list"),
        Some(Value::String(algorithm)) if is_known(algorithm) => Ok(()),
        Some(_) => Err("`enc_algo` is none of `cryptobox`, `mqtt`, `xbr` and `x_…`"),
    }
}

fn is_known(algorithm: &str) -> bool {
    matches!(algorithm, "cryptobox" | "mqtt" | "xbr") || algorithm.starts_with("x_")
}

/// Whether an element that stands where positional arguments stand is no list but a text or
/// binary value.
#[must_use]
pub fn is_opaque(serializer: Serializer, element: &[u8]) -> bool {
    let first = match serializer {
        Serializer::Json => element.iter().find(|byte| !byte.is_ascii_whitespace()),
        Serializer::MsgPack | Serializer::Cbor => element.first(),
    };
    match (serializer, first) {
        (_, None) => false,
        (Serializer::Json, Some(first)) => *first == b'"',
        (Serializer::MsgPack, Some(first)) => {
            matches!(first, 0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb)
        }
        (Serializer::Cbor, Some(first)) => matches!(first, 0x40..=0x7f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_binaries_are_opaque_and_lists_are_not() {
        let check = |serializer, element: &[u8], expected| {
            assert_eq!(is_opaque(serializer, element), expected, "{element:?}");
        };
        check(Serializer::Json, b"\"\\u0000AQI=\"", true);
        check(Serializer::Json, b" \n\"text\"", true);
        check(Serializer::Json, b"[\"text\"]", false);
        for first in [0xa1, 0xc4, 0xc6, 0xd9, 0xdb] {
            check(Serializer::MsgPack, &[first, 1, 0], true);
        }
        for first in [0x90, 0xdc, 0xdd, 0xc0, 0xc7] {
            check(Serializer::MsgPack, &[first, 1, 0], false);
        }
        for first in [0x41, 0x58, 0x5f, 0x61, 0x7f] {
            check(Serializer::Cbor, &[first, 1], true);
        }
        for first in [0x80, 0x9f, 0xf6, 0x01] {
            check(Serializer::Cbor, &[first, 1], false);
        }
        check(Serializer::Cbor, b"", false);
    }

    #[test]
    fn only_an_algorithm_lets_arguments_be_opaque() {
        let named = |name: &'static str| {
            let mut options = Dict::new();
            options.insert(
                ENC_ALGO,
                Value::from(bytestring::ByteString::from_static(name)),
            );
            options
        };
        assert!(allowed_by(&Dict::new()).is_err());
        assert!(allowed_by(&named("cryptobox")).is_ok());
        assert!(allowed_by(&named("x_ours")).is_ok());
        assert!(allowed_by(&named("invalid")).is_err());
        let mut number = Dict::new();
        number.insert(ENC_ALGO, 1_u64);
        assert!(allowed_by(&number).is_err());
    }
}
