//! What a transport read: whole messages as places in the block of bytes that they came in, so that
//! a message on its way costs no count of who holds it.

use std::ops::Range;

use bytes::Bytes;

/// The whole messages of one block, without the transport's headers and masks.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    block: Bytes,
    places: Vec<Range<u32>>,
}

impl Frames {
    /// The messages at `places` of `block`, in order. What is not within it is an empty message.
    #[must_use]
    pub fn new(block: Bytes, places: Vec<Range<u32>>) -> Self {
        Self { block, places }
    }

    /// What all messages are in.
    #[must_use]
    pub fn block(&self) -> &Bytes {
        &self.block
    }

    /// Where they are.
    #[must_use]
    pub fn places(&self) -> &[Range<u32>] {
        &self.places
    }

    /// The message at `place` as a slice of the block.
    #[must_use]
    pub fn message(&self, place: &Range<u32>) -> Bytes {
        let place = place.start as usize..place.end as usize;
        self.block
            .get(place)
            .map(|message| self.block.slice_ref(message))
            .unwrap_or_default()
    }

    /// All messages, each as a slice of the block.
    pub fn messages(&self) -> impl Iterator<Item = Bytes> {
        self.places.iter().map(|place| self.message(place))
    }
}

impl From<Bytes> for Frames {
    /// One message that is all of its block.
    fn from(message: Bytes) -> Self {
        let place = 0..message.len() as u32;
        Self {
            block: message,
            places: vec![place],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_where_their_places_say() {
        let frames = Frames::new(
            Bytes::from_static(b"-one--two"),
            vec![1..4, 6..9, 4..4, 8..99],
        );
        let messages: Vec<_> = frames.messages().collect();
        assert_eq!(messages, ["one", "two", "", ""]);
        let all = Frames::from(Bytes::from_static(b"all"));
        assert_eq!(all.messages().collect::<Vec<_>>(), ["all"]);
    }
}
