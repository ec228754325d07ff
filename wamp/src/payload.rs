//! `Payload`: the arguments of a message as the bytes they came in. A receiver with the same
//! serializer gets them untouched, the history stores them as they are.

use bytes::Bytes;

use crate::serializer::Serializer;

/// `Arguments|list?, ArgumentsKw|dict?` as one region of well-formed bytes.
///
/// In JSON the two elements are separated by a comma, in MessagePack and CBOR they follow one
/// another. There are no keyword arguments without a list before them: where none came in, an
/// empty one was put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    serializer: Serializer,
    elements: u8,
    /// Where the first element ends and the second begins; both are `tail.len()` without one.
    args_end: u32,
    kwargs_begin: u32,
    tail: Bytes,
}

impl Payload {
    /// No arguments.
    pub const fn empty(serializer: Serializer) -> Self {
        Self {
            serializer,
            elements: 0,
            args_end: 0,
            kwargs_begin: 0,
            tail: Bytes::new(),
        }
    }

    /// How it is serialized.
    pub const fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// How many elements there are: none, the list, or the list and the map.
    pub const fn elements(&self) -> usize {
        self.elements as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The elements as they stand at the end of a message.
    pub const fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// The list of positional arguments.
    pub fn args(&self) -> Option<&[u8]> {
        match self.elements {
            0 => None,
            _ => self.tail.get(..self.args_end as usize),
        }
    }

    /// The map of keyword arguments.
    pub fn kwargs(&self) -> Option<&[u8]> {
        match self.elements {
            2 => self.tail.get(self.kwargs_begin as usize..),
            _ => None,
        }
    }

    /// A copy of its own, for keeping: the bytes are otherwise a slice of a whole read block.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self {
            tail: Bytes::copy_from_slice(&self.tail),
            ..self.clone()
        }
    }
}
