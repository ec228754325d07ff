//! FlatBuffers, as far as rows need them: one table of numbers, texts and vectors, without a
//! generated line. Reading is bounds-checked and never panics: what does not fit is `None`, and a
//! field that is not there has its default, as FlatBuffers has it. Knows no row.

/// What a field of a table is set to. Zero and false are not written: they are the defaults.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field<'a> {
    U64(u64),
    U8(u8),
    /// Written even if it is zero: to be set later, in place.
    Place(u64),
    Bool(bool),
    Bytes(&'a [u8]),
    Text(&'a str),
    Texts(&'a [&'a str]),
}

impl Field<'_> {
    /// Bytes in the table; 0 if it is not written.
    fn size(&self) -> usize {
        match self {
            Self::U64(0) | Self::U8(0) | Self::Bool(false) => 0,
            Self::U64(_) | Self::Place(_) => 8,
            Self::Bytes(_) | Self::Text(_) | Self::Texts(_) => 4,
            Self::U8(_) | Self::Bool(true) => 1,
        }
    }
}

/// Writes a table with these fields, each under its number, in place of what is in `out`.
///
/// The order is: offset of the table, its vtable, the table with the widest fields first, so that
/// each is aligned, and what it refers to. All offsets point forward but the one to the vtable.
pub(super) fn write(fields: &[(u16, Field<'_>)], out: &mut Vec<u8>) {
    out.clear();
    let written = |size: usize| fields.iter().filter(move |(_, field)| field.size() == size);
    let last = fields.iter().filter(|(_, field)| field.size() > 0);
    let slots = last.map(|(id, _)| usize::from(*id) + 1).max().unwrap_or(0);
    let vtable = 4 + 2 * slots;
    // A table begins four bytes before a multiple of eight: its first field is behind an `i32`.
    let table = (4 + vtable + 4).next_multiple_of(8) - 4;
    let begin_vtable = table - vtable;
    out.resize(table, 0);
    set(out, 0, &number(table).to_le_bytes());
    out.extend_from_slice(&number(vtable).to_le_bytes());
    let mut refer = Vec::new();
    for (id, field) in written(8).chain(written(4)).chain(written(1)) {
        let at = out.len();
        let slot = begin_vtable + 4 + 2 * usize::from(*id);
        set(out, slot, &short(at - table).to_le_bytes());
        match field {
            Field::U64(value) | Field::Place(value) => out.extend_from_slice(&value.to_le_bytes()),
            Field::U8(value) => out.push(*value),
            Field::Bool(value) => out.push(u8::from(*value)),
            Field::Bytes(_) | Field::Text(_) | Field::Texts(_) => {
                refer.push((at, field));
                out.extend_from_slice(&[0; 4]);
            }
        }
    }
    let size = out.len() - table;
    set(out, begin_vtable, &short(vtable).to_le_bytes());
    set(out, begin_vtable + 2, &short(size).to_le_bytes());
    for (at, field) in refer {
        let target = match field {
            Field::Bytes(bytes) => put_vector(out, bytes, false),
            Field::Text(text) => put_vector(out, text.as_bytes(), true),
            Field::Texts(texts) => put_texts(out, texts),
            Field::U64(_) | Field::Place(_) | Field::U8(_) | Field::Bool(_) => at,
        };
        set(out, at, &number(target - at).to_le_bytes());
    }
}

/// A length as it is stored. Nothing here comes near 4 GiB: messages have at most 16 MiB.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A place in a table, of which there are at most 21 fields of 8 bytes.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn set(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Appends a vector and says where it begins.
fn put_vector(out: &mut Vec<u8>, bytes: &[u8], is_text: bool) -> usize {
    let at = out.len().next_multiple_of(4);
    out.resize(at, 0);
    out.extend_from_slice(&number(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
    if is_text {
        out.push(0);
    }
    at
}

fn put_texts(out: &mut Vec<u8>, texts: &[&str]) -> usize {
    let at = out.len().next_multiple_of(4);
    out.resize(at, 0);
    out.extend_from_slice(&number(texts.len()).to_le_bytes());
    let first = out.len();
    out.resize(first + 4 * texts.len(), 0);
    for (text, place) in texts.iter().zip((first..).step_by(4)) {
        let target = put_vector(out, text.as_bytes(), true);
        set(out, place, &number(target - place).to_le_bytes());
    }
    at
}

/// A table as it was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    vtable: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table that a buffer is made for.
    pub(super) fn root(bytes: &'a [u8]) -> Option<Self> {
        let at = u32_at(bytes, 0)? as usize;
        let back = i32::from_le_bytes(array_at(bytes, at)?);
        let begin = i64::try_from(at).ok()?.checked_sub(i64::from(back))?;
        let begin = usize::try_from(begin).ok()?;
        let length = usize::from(u16::from_le_bytes(array_at(bytes, begin)?));
        let vtable = bytes.get(begin..begin.checked_add(length)?)?;
        Some(Self { bytes, at, vtable })
    }

    /// Where a field stands, if it is written.
    fn place(&self, id: u16) -> Option<usize> {
        let offset = u16::from_le_bytes(array_at(self.vtable, 4 + 2 * usize::from(id))?);
        (offset > 0).then(|| self.at + usize::from(offset))
    }

    pub(super) fn u64(&self, id: u16) -> u64 {
        let found = self.place(id).and_then(|at| array_at(self.bytes, at));
        found.map_or(0, u64::from_le_bytes)
    }

    /// Where the eight bytes of a number stand, if it is written.
    pub(super) fn place_of_u64(&self, id: u16) -> Option<std::ops::Range<usize>> {
        let at = self.place(id)?;
        let place = at..at.checked_add(8)?;
        self.bytes.get(place.clone()).map(|_| place)
    }

    pub(super) fn u8(&self, id: u16) -> u8 {
        let found = self.place(id).and_then(|at| self.bytes.get(at));
        found.copied().unwrap_or(0)
    }

    /// Where what a field refers to stands, and how many elements it has.
    fn vector(&self, id: u16) -> Option<(usize, usize)> {
        let at = self.place(id)?;
        vector_at(self.bytes, at)
    }

    /// How many elements a vector has, whatever they are; 0 if it is not there.
    pub(super) fn len(&self, id: u16) -> usize {
        self.vector(id).map_or(0, |(_, length)| length)
    }

    pub(super) fn bytes(&self, id: u16) -> Option<&'a [u8]> {
        let (at, length) = self.vector(id)?;
        self.bytes.get(at..at.checked_add(length)?)
    }

    pub(super) fn text(&self, id: u16) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(id)?).ok()
    }

    /// The texts of a list; `None` if one of them is not sound. None if the list is not there.
    pub(super) fn texts(&self, id: u16) -> Option<Vec<&'a str>> {
        let Some((at, length)) = self.vector(id) else {
            return Some(Vec::new());
        };
        let places = self
            .bytes
            .get(at..at.checked_add(length.checked_mul(4)?)?)?;
        let places = (at..).step_by(4).take(places.len() / 4);
        let text = |place| {
            let (at, length) = vector_at(self.bytes, place)?;
            let bytes = self.bytes.get(at..at.checked_add(length)?)?;
            std::str::from_utf8(bytes).ok()
        };
        places.map(text).collect()
    }
}

/// The vector that the offset at `at` leads to: where its elements begin, and how many they are.
fn vector_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let vector = at.checked_add(u32_at(bytes, at)? as usize)?;
    let length = u32_at(bytes, vector)? as usize;
    Some((vector.checked_add(4)?, length))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut out = Vec::new();
        let texts = ["", "one", "zwölf"];
        write(
            &[
                (0, Field::U64(7)),
                (1, Field::Text("com.a")),
                (2, Field::Bool(true)),
                (3, Field::U64(0)),
                (6, Field::Bytes(b"")),
                (7, Field::Bytes(&[0, 255])),
                (9, Field::Texts(&texts)),
                (10, Field::Texts(&[])),
                (12, Field::U64(u64::MAX)),
                (13, Field::Bool(false)),
            ],
            &mut out,
        );
        let table = Table::root(&out).unwrap();
        assert_eq!((table.u64(0), table.u64(12)), (7, u64::MAX));
        assert_eq!((table.u64(3), table.u64(4), table.u64(99)), (0, 0, 0));
        assert_eq!((table.u8(2), table.u8(13)), (1, 0));
        assert_eq!(table.text(1), Some("com.a"));
        assert_eq!(table.bytes(6), Some(&b""[..]));
        assert_eq!(table.bytes(7), Some(&[0, 255][..]));
        assert_eq!(table.bytes(8), None);
        assert_eq!(table.texts(9).unwrap(), texts);
        assert_eq!(table.texts(10).unwrap(), Vec::<&str>::new());
        assert_eq!(table.texts(11).unwrap(), Vec::<&str>::new());
        assert_eq!(table.len(9), 3);
        assert!(table.place(12).unwrap().is_multiple_of(8));
    }

    fn look_at_all(bytes: &[u8]) {
        let Some(table) = Table::root(bytes) else {
            return;
        };
        for id in 0..24 {
            let _ = (table.u64(id), table.u8(id), table.bytes(id), table.text(id));
            let _ = (table.texts(id), table.len(id));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn whatever_is_read_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            look_at_all(&bytes);
        }

        #[test]
        fn what_is_damaged_never_panics(at in 0..80_usize, byte in any::<u8>(), end in 0..90_usize) {
            let mut out = Vec::new();
            let fields = [
                (0, Field::U64(1)),
                (3, Field::Text("com.example.topic")),
                (11, Field::Texts(&["joe", "ann"])),
            ];
            write(&fields, &mut out);
            out.truncate(end);
            if let Some(place) = out.get_mut(at) {
                *place = byte;
            }
            look_at_all(&out);
        }
    }
}
