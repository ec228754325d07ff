//! The beginning of a message up to its arguments, made on the stack: the arguments and whatever
//! closes the message are copied behind it from the message they came in.

use crate::wire::{Cursor, Format};

/// Longest: `[36,` two IDs of 16 digits, `,{},`.
const LONGEST: usize = 56;

/// Up to 56 bytes.
#[derive(Clone, Copy)]
pub(super) struct Head {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; LONGEST],
            len: 0,
        }
    }
}

impl Head {
    /// Begins a list; `list` is its head in MessagePack.
    pub(super) fn open(format: Format, list: u8) -> Self {
        let mut bytes = [0; LONGEST];
        bytes[0] = match format {
            Format::Json => b'[',
            Format::Msgpack => list,
        };
        Self { bytes, len: 1 }
    }

    /// `[36, Subscription, Publication, Details` in place of
    /// `[16, Request, Options, Topic`; `prefix` has the first two.
    #[inline]
    pub(super) fn event(
        format: Format,
        original: &[u8],
        prefix: Self,
        publication: u64,
        arguments: &Cursor<'_>,
    ) -> Self {
        let mut head = prefix;
        // As many elements as the publication had, so its list's head fits.
        head.bytes[0] = original.first().copied().unwrap_or_default();
        if format == Format::Json {
            head.push(b",");
        }
        head.push_id(format, publication);
        head.push_details(format, arguments);
        head
    }

    /// IDs and empty details in place of as many elements: the conversions of calls and results.
    #[inline]
    pub(super) fn converted(
        format: Format,
        original: &[u8],
        ids: &[u64],
        arguments: &Cursor<'_>,
    ) -> Self {
        let mut head = Self::open(format, original.first().copied().unwrap_or_default());
        head.push_ids(format, ids);
        head.push_details(format, arguments);
        head
    }

    /// Number of bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends the bytes: a copy of fixed length, which is cut, is cheaper than a call.
    #[inline]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        out.truncate(out.len() - (LONGEST - self.len));
    }

    /// Appends numbers to the list.
    #[inline]
    pub(super) fn push_ids(&mut self, format: Format, ids: &[u64]) {
        for (place, &id) in ids.iter().enumerate() {
            if format == Format::Json && place > 0 {
                self.push(b",");
            }
            self.push_id(format, id);
        }
    }

    #[inline]
    fn push_id(&mut self, format: Format, id: u64) {
        match (format, id) {
            (Format::Json, _) => self.push(itoa::Buffer::new().format(id).as_bytes()),
            (Format::Msgpack, 0..0x80) => self.push(&[id as u8]),
            (Format::Msgpack, 0x80..=0xffff_ffff) => {
                let [a, b, c, d] = (id as u32).to_be_bytes();
                self.push(&[0xce, a, b, c, d]);
            }
            (Format::Msgpack, _) => {
                let [a, b, c, d, e, f, g, h] = id.to_be_bytes();
                self.push(&[0xcf, a, b, c, d, e, f, g, h]);
            }
        }
    }

    #[inline]
    fn push_details(&mut self, format: Format, arguments: &Cursor<'_>) {
        match (format, arguments.is_at_end()) {
            (Format::Json, true) => self.push(b",{}"),
            (Format::Json, false) => self.push(b",{},"),
            (Format::Msgpack, _) => self.push(&[0x80]),
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        // The length of most IDs, known to the compiler.
        if let Some((digits, [])) = bytes.split_first_chunk::<16>()
            && let Some(place) = self
                .bytes
                .get_mut(self.len..)
                .and_then(|at| at.first_chunk_mut())
        {
            *place = *digits;
            self.len += digits.len();
            return;
        }
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn converted_messages_decode_to_what_they_mean() {
        for format in [Format::Json, Format::Msgpack] {
            for tail in [None, Some(json!(["a", 1]))] {
                let mut publish = vec![json!(16), json!(7), json!({}), json!("com.a")];
                publish.extend(tail.clone());
                let bytes = format.encode(&json!(publish));
                let mut cursor = Cursor::open(format, &bytes).unwrap();
                cursor.uint().unwrap();
                cursor.uint().unwrap();
                cursor.skip().unwrap();
                cursor.text().unwrap();

                let mut prefix = Head::open(format, 0);
                prefix.push_ids(format, &[36, 1 << 52]);
                let event = Head::event(format, &bytes, prefix, 1 << 53, &cursor);
                let other = Head::converted(format, &bytes, &[36, 1 << 52, 1 << 53], &cursor);
                let mut message = Vec::new();
                event.append_to(&mut message);
                assert_eq!(message, other.bytes[..other.len()]);

                let mut expected = vec![json!(36), json!(1u64 << 52), json!(1u64 << 53), json!({})];
                expected.extend(tail);
                message.extend_from_slice(cursor.tail());
                assert_eq!(format.decode(&message), Some(json!(expected)));
            }
        }
    }
}
