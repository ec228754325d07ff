//! Little-endian fields, and the envelope that each small file of a store has: magic, version,
//! length and checksum around a body. Reading never panics: what does not fit is `None`.

/// The format that this program writes, and the newest that it reads.
pub(crate) const VERSION: u8 = 2;

/// Envelope: 0 magic, 8 version, 9 zeros, 12 `u32` body length, 16 `u32` CRC-32 of bytes 8 to 16
/// and of the body. This much is the same in every version.
pub(crate) const ENVELOPE: usize = 20;

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// Magic, length or checksum are not right.
    Damaged,
    /// Right as far as can be told, and of a version yet to come.
    Newer(u8),
}

/// `body` in an envelope.
pub(crate) fn seal_envelope(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENVELOPE + body.len());
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
    put_u32(&mut bytes, length_u32(body.len()));
    let crc = envelope_crc(&bytes, body);
    put_u32(&mut bytes, crc);
    bytes.extend_from_slice(body);
    bytes
}

/// The body of the envelope at the beginning of `bytes`; more may follow.
pub(crate) fn open_envelope(magic: [u8; 8], bytes: &[u8]) -> Result<&[u8], Unsound> {
    let mut rest = bytes;
    let found = take_array::<8>(&mut rest).ok_or(Unsound::Damaged)?;
    let [version, ..] = take_array::<4>(&mut rest).ok_or(Unsound::Damaged)?;
    let length = take_u32(&mut rest).ok_or(Unsound::Damaged)?;
    let crc = take_u32(&mut rest).ok_or(Unsound::Damaged)?;
    if found != magic {
        return Err(Unsound::Damaged);
    }
    let body = rest.get(..length as usize).ok_or(Unsound::Damaged)?;
    if envelope_crc(bytes, body) != crc {
        return Err(Unsound::Damaged);
    }
    if version > VERSION {
        Err(Unsound::Newer(version))
    } else {
        Ok(body)
    }
}

fn envelope_crc(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head.get(8..16).unwrap_or_default());
    hasher.update(body);
    hasher.finalize()
}

pub(in crate::engine) fn put_u16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

pub(in crate::engine) fn put_u32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

pub(in crate::engine) fn put_u64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

/// `u32` length, text.
pub(in crate::engine) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_u32(bytes, length_u32(text.len()));
    bytes.extend_from_slice(text.as_bytes());
}

/// A length as it is stored. Nothing here comes near 4 GiB: messages have at most 16 MiB.
pub(in crate::engine) fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(in crate::engine) fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*array)
}

pub(in crate::engine) fn take_u8(rest: &mut &[u8]) -> Option<u8> {
    take_array::<1>(rest).map(|[byte]| byte)
}

pub(in crate::engine) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take_array(rest).map(u32::from_le_bytes)
}

pub(in crate::engine) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take_array(rest).map(u64::from_le_bytes)
}

pub(in crate::engine) fn take_bytes<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// What [`put_text`] wrote.
pub(in crate::engine) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = take_u32(rest)?;
    std::str::from_utf8(take_bytes(rest, length as usize)?).ok()
}

/// The field at `at`.
pub(in crate::engine) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|field| u16::from_le_bytes(*field))
}

/// The field at `at`.
pub(in crate::engine) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|field| u32::from_le_bytes(*field))
}

/// The field at `at`.
pub(in crate::engine) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|field| u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 8] = *b"RWMPTEST";

    #[test]
    fn an_envelope_gives_its_body_back_and_lets_more_follow() {
        let mut bytes = seal_envelope(MAGIC, b"body");
        bytes.extend_from_slice(b"more");
        assert_eq!(open_envelope(MAGIC, &bytes), Ok(&b"body"[..]));
    }

    #[test]
    fn an_envelope_with_any_bit_flipped_or_cut_short_is_not_sound() {
        let bytes = seal_envelope(MAGIC, b"a body of some length");
        for cut in 0..bytes.len() {
            assert_eq!(open_envelope(MAGIC, &bytes[..cut]), Err(Unsound::Damaged));
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open_envelope(MAGIC, &bytes),
                Err(Unsound::Damaged),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = seal_envelope(MAGIC, b"body");
        bytes[8] = VERSION + 1;
        let crc = envelope_crc(&bytes, b"body");
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(
            open_envelope(MAGIC, &bytes),
            Err(Unsound::Newer(VERSION + 1))
        );
    }
}
