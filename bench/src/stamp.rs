//! What every event, call and record of a run carries: who sent it and as the how-manieth.
//! Written by templates, read back by every receiver. Knows no message and no socket.
//!
//! The payload is one ASCII string of fixed length, so that its place in a frame is known without
//! parsing: 16 letters of stamp, 16 letters of send time, then filler that begins with `MARKER`.

/// Length in bytes of the one string argument of every message of a run.
pub(crate) const PAYLOAD: usize = 128;
/// Length in bytes of a 64-bit word written in letters.
pub(crate) const LETTERS: usize = 16;
/// Begins at byte 32 of a payload: finds payloads in answers of unknown shape.
pub(crate) const MARKER: &[u8] = b"-rewamp-bench-";

const COUNTER_BITS: u32 = 48;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;
const ALL_A: u128 = 0x6161_6161_6161_6161_6161_6161_6161_6161;

/// Sender and running number of one message: what a receiver checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Index of the publisher or caller, from 0.
    pub(crate) publisher: u16,
    /// Running number within that publisher, from 0, below 2^48.
    pub(crate) counter: u64,
}

impl Stamp {
    /// The stamp as one word: publisher in the upper 16 bits.
    pub(crate) fn word(self) -> u64 {
        (u64::from(self.publisher) << COUNTER_BITS) | (self.counter & COUNTER_MASK)
    }

    /// The stamp of a payload; `None` when its first 16 bytes are not letters `a`–`p`.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let word = read_letters(payload.first_chunk()?)?;
        Some(Self {
            publisher: (word >> COUNTER_BITS) as u16,
            counter: word & COUNTER_MASK,
        })
    }
}

/// The send time of a payload in ns, as the latency mode writes it.
pub(crate) fn time_of(payload: &[u8]) -> Option<u64> {
    read_letters(payload.get(LETTERS..)?.first_chunk()?)
}

/// A payload with stamp `word` and send time 0.
pub(crate) fn payload(word: u64) -> [u8; PAYLOAD] {
    let mut bytes = [b'.'; PAYLOAD];
    let parts = letters(word)
        .into_iter()
        .chain(letters(0))
        .chain(MARKER.iter().copied());
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = from;
    }
    bytes
}

/// Every stamp in `bytes`, in order of appearance, found by `MARKER`.
pub(crate) fn stamps_in(bytes: &[u8]) -> Vec<Stamp> {
    memchr::memmem::find_iter(bytes, MARKER)
        .filter_map(|at| Stamp::of(bytes.get(at.checked_sub(2 * LETTERS)?..)?))
        .collect()
}

/// A 64-bit word as 16 letters `a`–`p`, the highest four bits first: fixed width, and no
/// serializer escapes any of them.
pub(crate) fn letters(word: u64) -> [u8; LETTERS] {
    letters_word(word).to_be_bytes()
}

/// `letters` as a big-endian number, ready to be XORed with a mask.
pub(crate) fn letters_word(word: u64) -> u128 {
    let x = u128::from(word);
    let x = (x | x << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    let x = (x | x << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    let x = (x | x << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    x + ALL_A
}

/// The word written in `letters`; `None` for any other byte.
pub(crate) fn read_letters(letters: &[u8; LETTERS]) -> Option<u64> {
    let x = u128::from_be_bytes(*letters).checked_sub(ALL_A)?;
    if x & 0xf0f0_f0f0_f0f0_f0f0_f0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    let x = (x | x >> 8) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    let x = (x | x >> 16) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    Some((x | x >> 32) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_as_the_same_word() {
        for word in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX, 1 << 63] {
            assert_eq!(read_letters(&letters(word)), Some(word));
        }
        assert_eq!(&letters(0x0123_4567_89ab_cdef), b"abcdefghijklmnop");
    }

    #[test]
    fn other_bytes_are_no_letters() {
        assert_eq!(read_letters(b"abcdefghijklmnoq"), None);
        assert_eq!(read_letters(b"`bcdefghijklmnop"), None);
        assert_eq!(read_letters(b"abcdefgh jklmnop"), None);
    }

    #[test]
    fn stamps_are_found_in_any_surroundings() {
        let stamp = |counter| Stamp {
            publisher: 7,
            counter,
        };
        let mut bytes = b"[50,1,{},[[{\"args\":[\"".to_vec();
        bytes.extend_from_slice(&payload(stamp(41).word()));
        bytes.extend_from_slice(b"\"]},{\"args\":[\"");
        bytes.extend_from_slice(&payload(stamp(40).word()));
        assert_eq!(stamps_in(&bytes), [stamp(41), stamp(40)]);
    }
}
