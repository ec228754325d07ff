//! Headers of frames that a WebSocket server sends: whole messages, unmasked.
//! RFC 6455, section 5.2.

use super::Header;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A message that is text.
    Text = 0x1,
    /// A message that is binary.
    Binary = 0x2,
    /// The end of the connection, with a status and a reason.
    Close = 0x8,
    /// Are you there.
    Ping = 0x9,
    /// I am; with the content of the ping.
    Pong = 0xa,
}

/// The header of a final, unmasked frame whose content has that length.
pub fn frame_header(opcode: Opcode, length: usize) -> Header {
    const FINAL: u8 = 0x80;
    let first = FINAL | opcode as u8;
    if let (Ok(length), true) = (u8::try_from(length), length < 126) {
        Header::of(&[first, length])
    } else if let Ok(length) = u16::try_from(length) {
        let [a, b] = length.to_be_bytes();
        Header::of(&[first, 126, a, b])
    } else {
        let [a, b, c, d, e, f, g, h] = (length as u64).to_be_bytes();
        Header::of(&[first, 127, a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_the_shortest_form() {
        for (length, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(
                frame_header(Opcode::Text, length).as_bytes(),
                expected,
                "{length}"
            );
        }
        assert_eq!(frame_header(Opcode::Pong, 1).as_bytes(), [0x8a, 1]);
    }
}
