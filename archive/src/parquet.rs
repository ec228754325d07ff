//! Parquet: one event a row, in columns that Spark, pandas and DuckDB read as they are. What every
//! event has is typed; arguments stand there as JSON text, to be looked at, and as the bytes that
//! came in, to be put back. The columns are described in `docs/history.md`.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use bytestring::ByteString;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use rewamp_history::{Identity, Sequence, Timestamp};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, details_from_bytes, serializer_name};

/// `time` is what spreadsheets and SQL understand, in microseconds; `time_ns` is the time.
const SCHEMA: &str = "
message event {
  required int64 sequence;
  required int64 publication;
  required int64 time (TIMESTAMP(MICROS, true));
  required int64 time_ns;
  required binary topic (UTF8);
  required int64 publisher;
  optional binary publisher_authid (UTF8);
  optional binary publisher_authrole (UTF8);
  required boolean exclude_me;
  optional binary receivers (UTF8);
  optional binary further_details (UTF8);
  required binary serializer (UTF8);
  optional binary args (UTF8);
  optional binary kwargs (UTF8);
  optional binary args_bytes;
  optional binary kwargs_bytes;
  optional binary further_details_bytes;
}";

/// Events of a row group at most; fewer where they are large.
const GROUP: usize = 65_536;

/// Bytes of arguments of a row group, about: what writing takes in memory.
const GROUP_BYTES: usize = 32 << 20;

/// Why a file is not written, or not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFault {
    /// The disk, or the file, is not as it should be.
    #[error(transparent)]
    File(#[from] ParquetError),
    /// A row is no event.
    #[error("row {row}: {error}")]
    Row {
        /// Counted from 1.
        row: u64,
        /// What is wrong.
        error: RecordError,
    },
}

/// Writes events into a file, row group by row group.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Columns,
    bytes: usize,
}

#[derive(Default)]
struct Columns {
    sequence: Vec<i64>,
    publication: Vec<i64>,
    time: Vec<i64>,
    time_ns: Vec<i64>,
    topic: Vec<ByteArray>,
    publisher: Vec<i64>,
    authid: Optional,
    authrole: Optional,
    exclude_me: Vec<bool>,
    receivers: Optional,
    further_details: Optional,
    serializer: Vec<ByteArray>,
    args: Optional,
    kwargs: Optional,
    args_bytes: Optional,
    kwargs_bytes: Optional,
    further_details_bytes: Optional,
}

/// Values that may be missing.
#[derive(Default)]
struct Optional {
    values: Vec<ByteArray>,
    /// 1 where there is one.
    levels: Vec<i16>,
}

impl Optional {
    fn push(&mut self, value: Option<impl Into<ByteArray>>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value.map(Into::into));
    }
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file. `notes` are kept in its metadata, for people.
    ///
    /// # Errors
    /// What the writer says.
    pub fn begin(to: W, notes: &[(&str, String)]) -> Result<Self, ParquetFault> {
        let notes = notes
            .iter()
            .map(|(key, value)| KeyValue::new(format!("rewamp.{key}"), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("rewamp {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(notes.collect()))
            .build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        Ok(Self {
            file: SerializedFileWriter::new(to, schema, Arc::new(properties))?,
            columns: Columns::default(),
            bytes: 0,
        })
    }

    /// Adds an event.
    ///
    /// # Errors
    /// What the writer says.
    pub fn add(&mut self, record: &Record) -> Result<(), ParquetFault> {
        self.bytes += 3 * record.payload.tail().len();
        self.columns.push(record);
        if self.columns.sequence.len() >= GROUP || self.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left, and the end of the file.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> Result<W, ParquetFault> {
        self.write_group()?;
        Ok(self.file.into_inner()?)
    }

    fn write_group(&mut self) -> Result<(), ParquetFault> {
        let columns = std::mem::take(&mut self.columns);
        self.bytes = 0;
        if columns.sequence.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let mut number = 0;
        while let Some(mut column) = group.next_column()? {
            columns.write(number, column.untyped())?;
            column.close()?;
            number += 1;
        }
        group.close()?;
        Ok(())
    }
}

impl Columns {
    fn push(&mut self, record: &Record) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let payload = &record.payload;
        let (args, kwargs) = record.arguments_as_json().unwrap_or_default();
        let disclosed = record.disclosed.as_ref();
        let bytes = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        self.sequence.push(signed(record.sequence.get()));
        self.publication.push(signed(record.publication.get()));
        self.time.push(signed(record.time.nanos() / 1_000));
        self.time_ns.push(record.time.nanos().cast_signed());
        self.topic.push(text(&record.topic));
        self.publisher.push(signed(record.publisher));
        self.authid.push(disclosed.map(|who| text(&who.authid)));
        self.authrole.push(disclosed.map(|who| text(&who.authrole)));
        self.exclude_me.push(record.exclude_me);
        self.receivers.push(Lists::of(&record.receivers));
        self.further_details
            .push(record.details_as_json().map(String::into_bytes));
        self.serializer
            .push(serializer_name(payload.serializer()).into());
        self.args.push(args.map(String::into_bytes));
        self.kwargs.push(kwargs.map(String::into_bytes));
        self.args_bytes.push(bytes(payload.args()));
        self.kwargs_bytes.push(bytes(payload.kwargs()));
        self.further_details_bytes
            .push(record.details.as_deref().map(<[u8]>::to_vec));
    }

    /// In the order of [`SCHEMA`].
    fn write(&self, number: usize, column: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        match (number, column) {
            (0, column) => integers(column, &self.sequence),
            (1, column) => integers(column, &self.publication),
            (2, column) => integers(column, &self.time),
            (3, column) => integers(column, &self.time_ns),
            (4, column) => texts(column, &self.topic, None),
            (5, column) => integers(column, &self.publisher),
            (6, column) => optional(column, &self.authid),
            (7, column) => optional(column, &self.authrole),
            (8, ColumnWriter::BoolColumnWriter(column)) => {
                column.write_batch(&self.exclude_me, None, None).map(drop)
            }
            (9, column) => optional(column, &self.receivers),
            (10, column) => optional(column, &self.further_details),
            (11, column) => texts(column, &self.serializer, None),
            (12, column) => optional(column, &self.args),
            (13, column) => optional(column, &self.kwargs),
            (14, column) => optional(column, &self.args_bytes),
            (15, column) => optional(column, &self.kwargs_bytes),
            (16, column) => optional(column, &self.further_details_bytes),
            _ => Err(wrong_column()),
        }
    }
}

fn text(text: &ByteString) -> ByteArray {
    text.as_bytes().to_vec().into()
}

fn integers(column: &mut ColumnWriter<'_>, values: &[i64]) -> Result<(), ParquetError> {
    match column {
        ColumnWriter::Int64ColumnWriter(column) => column.write_batch(values, None, None).map(drop),
        _ => Err(wrong_column()),
    }
}

fn optional(column: &mut ColumnWriter<'_>, values: &Optional) -> Result<(), ParquetError> {
    texts(column, &values.values, Some(&values.levels))
}

fn texts(
    column: &mut ColumnWriter<'_>,
    values: &[ByteArray],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    match column {
        ColumnWriter::ByteArrayColumnWriter(column) => {
            column.write_batch(values, levels, None).map(drop)
        }
        _ => Err(wrong_column()),
    }
}

/// The schema and [`Columns::write`] disagree: a fault of the program.
fn wrong_column() -> ParquetError {
    ParquetError::General("a column is not of its type".to_owned())
}

/// Receiver lists as one JSON text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude_authid: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude_authrole: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligible_authid: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligible_authrole: Vec<ByteString>,
}

impl Lists {
    fn of(lists: &ReceiverLists) -> Option<Vec<u8>> {
        let lists = Self {
            exclude_authid: lists.exclude_authid.clone(),
            exclude_authrole: lists.exclude_authrole.clone(),
            eligible_authid: lists.eligible_authid.clone(),
            eligible_authrole: lists.eligible_authrole.clone(),
        };
        let json = serde_json::to_vec(&lists).ok()?;
        (json != b"{}").then_some(json)
    }

    fn read(json: &str) -> Result<ReceiverLists, RecordError> {
        let lists: Self =
            serde_json::from_str(json).map_err(|error| RecordError::new("receivers", error))?;
        Ok(ReceiverLists {
            exclude_authid: lists.exclude_authid,
            exclude_authrole: lists.exclude_authrole,
            eligible_authid: lists.eligible_authid,
            eligible_authrole: lists.eligible_authrole,
            ..ReceiverLists::default()
        })
    }
}

/// The events of a file, row by row, up to the first that is none.
pub struct Reader {
    rows: RowIter<'static>,
    row: u64,
}

impl Reader {
    /// Opens a file that [`Writer`] wrote, or another program with the same columns.
    ///
    /// # Errors
    /// If it is no Parquet.
    pub fn open(file: File) -> Result<Self, ParquetFault> {
        let reader = SerializedFileReader::new(file)?;
        Ok(Self {
            rows: RowIter::from_file_into(Box::new(reader)),
            row: 0,
        })
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// If it is no Parquet.
    pub fn count(file: File) -> Result<u64, ParquetFault> {
        let reader = SerializedFileReader::new(file)?;
        Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ParquetFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        self.row += 1;
        let number = self.row;
        Some(
            row.map_err(ParquetFault::from).and_then(|row| {
                record(&row).map_err(|error| ParquetFault::Row { row: number, error })
            }),
        )
    }
}

fn record(row: &Row) -> Result<Record, RecordError> {
    let row = Named(row);
    let publication = PublicationId::new(row.integer("publication")?)
        .ok_or_else(|| RecordError::new("publication", "is not from 1 to 2^53"))?;
    let serializer = row.text("serializer")?;
    let serializer = serializer.and_then(Serializer::from_name).ok_or_else(|| {
        RecordError::new("serializer", "is none; allowed are json, msgpack, cbor")
    })?;
    let payload = Payload::from_raw(
        serializer,
        row.bytes("args_bytes")?,
        row.bytes("kwargs_bytes")?,
        &Limits::default(),
    )
    .map_err(|error| RecordError::new("args_bytes", error))?;
    let disclosed = row.text("publisher_authid")?.map(|authid| {
        let authrole = row.text("publisher_authrole")?.unwrap_or_default().into();
        Ok(Identity {
            authid: authid.into(),
            authrole,
        })
    });
    let details = row.bytes("further_details_bytes")?;
    let details = details.map(details_from_bytes).transpose()?;
    Ok(Record {
        sequence: Sequence::new(row.integer("sequence")?),
        time: Timestamp::from_nanos(row.integer("time_ns")?),
        publication,
        topic: row
            .text("topic")?
            .ok_or_else(|| RecordError::new("topic", "is missing"))?
            .into(),
        publisher: row.integer("publisher")?,
        exclude_me: row.boolean("exclude_me")?,
        disclosed: disclosed.transpose()?,
        receivers: match row.text("receivers")? {
            Some(json) => Lists::read(json)?,
            None => ReceiverLists::default(),
        },
        details,
        payload,
    })
}

/// Columns by name.
struct Named<'r>(&'r Row);

impl<'r> Named<'r> {
    fn field(&self, name: &'static str) -> Result<&'r Field, RecordError> {
        let mut columns = self.0.get_column_iter();
        let found = columns.find(|(column, _)| *column == name);
        found
            .map(|(_, field)| field)
            .ok_or_else(|| RecordError::new(name, "there is no such column"))
    }

    fn integer(&self, name: &'static str) -> Result<u64, RecordError> {
        match self.field(name)? {
            Field::Long(number) => Ok(number.cast_unsigned()),
            Field::ULong(number) => Ok(*number),
            other => Err(wrong_type(name, "an integer of 64 bits", other)),
        }
    }

    fn boolean(&self, name: &'static str) -> Result<bool, RecordError> {
        match self.field(name)? {
            Field::Bool(value) => Ok(*value),
            other => Err(wrong_type(name, "a boolean", other)),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'r str>, RecordError> {
        match self.field(name)? {
            Field::Str(text) => Ok(Some(text)),
            Field::Null => Ok(None),
            other => Err(wrong_type(name, "a text", other)),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Option<&'r [u8]>, RecordError> {
        match self.field(name)? {
            Field::Bytes(bytes) => Ok(Some(bytes.data())),
            Field::Str(text) => Ok(Some(text.as_bytes())),
            Field::Null => Ok(None),
            other => Err(wrong_type(name, "bytes", other)),
        }
    }
}

fn wrong_type(name: &'static str, expected: &str, found: &Field) -> RecordError {
    RecordError::new(name, format!("is {found}, not {expected}"))
}
