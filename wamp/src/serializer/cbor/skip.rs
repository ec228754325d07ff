//! Going past an item without recursion, seeing that it is well-formed.

use smallvec::SmallVec;

use crate::serializer::is_ascii;

use super::{Argument, BREAK, CborReader, Fault, Major, Malformed};

/// A container within which the walk is.
#[derive(Clone, Copy)]
enum Around {
    /// Items still to come.
    Counted(usize),
    /// A list until the break.
    List,
    /// A map until the break, which must not stand between a key and its value.
    Map { value_next: bool },
}

impl CborReader<'_> {
    pub(super) fn skip_item(&mut self, depth: u8) -> Result<(), Malformed> {
        let mut around = SmallVec::<[Around; 16]>::new();
        loop {
            let begins = self.at;
            if let Some(end) = short_end(self.bytes, begins) {
                self.at = end;
            } else if let Some(container) = self.skip_head()? {
                if around.len() >= usize::from(depth) {
                    return Err(Malformed::new(begins, Fault::TooDeep));
                }
                around.push(container);
            }
            loop {
                match around.last_mut() {
                    None => return Ok(()),
                    Some(Around::Counted(left)) if *left > 0 => {
                        *left -= 1;
                        break;
                    }
                    Some(Around::Counted(_)) => {}
                    Some(Around::List) => {
                        if !self.at_break() {
                            break;
                        }
                    }
                    Some(Around::Map { value_next }) => {
                        if *value_next || !self.at_break() {
                            *value_next = !*value_next;
                            break;
                        }
                    }
                }
                around.pop();
            }
        }
    }

    /// Takes the break if it comes next.
    fn at_break(&mut self) -> bool {
        let found = self.bytes.get(self.at) == Some(&BREAK);
        self.at += usize::from(found);
        found
    }

    /// Takes an item; of a container only the head, unless it is empty.
    fn skip_head(&mut self) -> Result<Option<Around>, Malformed> {
        let (major, argument) = self.head()?;
        let container = match (major, argument) {
            (Major::Unsigned | Major::Negative, _) => return Ok(None),
            (Major::Text, _) => return self.skip_text(argument).map(|()| None),
            (Major::Binary, _) => return self.skip_binary(argument).map(|()| None),
            (Major::Simple, _) => return self.simple(argument).map(|_| None),
            // A tag is around one item, and nests as a list does for whoever reads it.
            (Major::Tag, _) => Around::Counted(1),
            (Major::List, Argument::Number(items, _)) => Around::Counted(self.plausible(items, 1)?),
            (Major::Map, Argument::Number(entries, _)) => {
                Around::Counted(self.plausible(entries, 2)? * 2)
            }
            (Major::List, Argument::Indefinite) => Around::List,
            (Major::Map, Argument::Indefinite) => Around::Map { value_next: false },
        };
        let empty = matches!(container, Around::Counted(0));
        Ok((!empty).then_some(container))
    }

    fn skip_text(&mut self, argument: Argument) -> Result<(), Malformed> {
        let begins = self.at;
        let check = |bytes| match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(_) => Err(Malformed::new(begins, Fault::NotUtf8)),
        };
        match argument {
            Argument::Number(length, _) => check(self.bytes(length)?),
            Argument::Indefinite => {
                while let Some(chunk) = self.chunk(Major::Text)? {
                    check(chunk)?;
                }
                Ok(())
            }
        }
    }

    fn skip_binary(&mut self, argument: Argument) -> Result<(), Malformed> {
        match argument {
            Argument::Number(length, _) => drop(self.bytes(length)?),
            Argument::Indefinite => while self.chunk(Major::Binary)?.is_some() {},
        }
        Ok(())
    }
}

/// Where the item at `at` ends, if it is of the kinds that data mostly consists of; the others
/// are left to [`CborReader::skip_head`].
#[inline]
fn short_end(bytes: &[u8], at: usize) -> Option<usize> {
    let length = match *bytes.get(at)? {
        0x00..=0x17 | 0x20..=0x37 | 0xf4..=0xf7 => 1,
        0x18 | 0x38 => 2,
        0x19 | 0x39 | 0xf9 => 3,
        0x1a | 0x3a | 0xfa => 5,
        0x1b | 0x3b | 0xfb => 9,
        0x78 => {
            let end = at + 2 + usize::from(*bytes.get(at + 1)?);
            return is_ascii(bytes.get(at + 2..end)?).then_some(end);
        }
        text @ 0x60..=0x77 => {
            let end = at + 1 + usize::from(text & 0x1f);
            return is_ascii(bytes.get(at + 1..end)?).then_some(end);
        }
        _ => return None,
    };
    (at + length <= bytes.len()).then_some(at + length)
}
