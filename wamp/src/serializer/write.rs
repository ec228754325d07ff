//! What the three formats have in common when written.

use bytes::BytesMut;

use super::{Serializer, TranscodeError};
use crate::value::{Dict, Integer, Value};

/// Appends data to a buffer; one implementation a format, never made into a value.
///
/// A list is `begin_list`, for each item `separate` and the item, `end_list`; a map is
/// `begin_map`, for each entry `separate`, `key` and the value, `end_map`.
pub trait Writer {
    /// Which format.
    const SERIALIZER: Serializer;
    /// Whether the lengths of containers are written.
    const COUNTS: bool;

    /// Null.
    fn null(out: &mut BytesMut);
    /// True or false.
    fn bool(out: &mut BytesMut, bool: bool);
    /// An integer from 0 on.
    fn unsigned(out: &mut BytesMut, number: u64);
    /// An integer.
    fn integer(out: &mut BytesMut, number: Integer);
    /// A number with a fraction, or one that is to stay a float without.
    ///
    /// # Errors
    /// What it is, if the format has no such number.
    fn float(out: &mut BytesMut, number: f64) -> Result<(), &'static str>;
    /// A text.
    ///
    /// # Errors
    /// What it is, if it would be read as something else.
    fn text(out: &mut BytesMut, text: &str) -> Result<(), &'static str>;
    /// Bytes.
    fn binary(out: &mut BytesMut, bytes: &[u8]);
    /// The begin of a list of so many items.
    fn begin_list(out: &mut BytesMut, items: usize);
    /// Its end.
    fn end_list(out: &mut BytesMut);
    /// The begin of a map of so many entries.
    fn begin_map(out: &mut BytesMut, entries: usize);
    /// Its end.
    fn end_map(out: &mut BytesMut);
    /// What stands before an item or entry, `first` or not.
    fn separate(out: &mut BytesMut, first: bool);
    /// The key of an entry, with what stands behind it.
    fn key(out: &mut BytesMut, key: &str);
}

/// Appends one value. What has been appended when this fails is for the caller to cut off.
pub(crate) fn write_value<W: Writer>(
    out: &mut BytesMut,
    value: &Value,
) -> Result<(), TranscodeError> {
    let inexpressible = |what| TranscodeError::unrepresentable(what, W::SERIALIZER.name());
    match value {
        Value::Null => W::null(out),
        Value::Bool(bool) => W::bool(out, *bool),
        Value::Integer(number) => W::integer(out, *number),
        Value::Float(number) => W::float(out, *number).map_err(inexpressible)?,
        Value::String(text) => W::text(out, text).map_err(inexpressible)?,
        Value::Binary(bytes) => W::binary(out, bytes),
        Value::List(items) => write_list::<W>(out, items)?,
        Value::Map(dict) => write_map::<W>(out, dict)?,
    }
    Ok(())
}

pub(crate) fn write_list<W: Writer>(
    out: &mut BytesMut,
    items: &[Value],
) -> Result<(), TranscodeError> {
    W::begin_list(out, items.len());
    for (index, item) in items.iter().enumerate() {
        W::separate(out, index == 0);
        write_value::<W>(out, item).map_err(|error| error.within_item(index))?;
    }
    W::end_list(out);
    Ok(())
}

pub(crate) fn write_map<W: Writer>(out: &mut BytesMut, dict: &Dict) -> Result<(), TranscodeError> {
    W::begin_map(out, dict.len());
    write_entries::<W>(out, dict, true)?;
    W::end_map(out);
    Ok(())
}

/// Appends the entries alone, `first` if nothing precedes them in their map.
pub(crate) fn write_entries<W: Writer>(
    out: &mut BytesMut,
    dict: &Dict,
    mut first: bool,
) -> Result<(), TranscodeError> {
    for (key, value) in dict.iter() {
        W::separate(out, first);
        first = false;
        W::key(out, key);
        write_value::<W>(out, value).map_err(|error| error.within_key(key))?;
    }
    Ok(())
}
