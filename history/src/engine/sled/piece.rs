//! Blocks that are larger than one value in sled may be, as pieces. Each has its own mark and
//! checksum, so that it is found in the file that sled left. See `FORMAT.md`, "Piece".

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::segment::Fault;
use crate::engine::fields::{length_u32, put_u32, put_u64, u32_at, u64_at};
use crate::event::Sequence;

/// Bytes before a piece's content.
pub(super) const HEADER: usize = 32;

/// The largest value given to sled. Larger ones may become files of their own, which would have
/// to be synced one by one.
pub(super) const MAX_VALUE: usize = 7_000;

/// Bytes of the block in a piece that is not the last.
pub(super) const CONTENT: usize = MAX_VALUE - HEADER;

/// A piece, as far as its header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PieceHead {
    /// Bytes of the piece, with its header.
    pub(super) length: u32,
    /// The first sequence of the block that it is of.
    pub(super) first: Sequence,
    /// Which piece, from 0.
    pub(super) index: u32,
    /// Bytes of the whole block.
    pub(super) block: u32,
}

/// Writes one piece of a block. 0 mark, 8 `u32` length, 12 `u32` CRC-32 of what follows,
/// 16 `u64` first sequence, 24 `u32` index, 28 `u32` block length, 32 content.
pub(super) fn encode(
    bytes: &mut Vec<u8>,
    mark: [u8; 8],
    first: Sequence,
    index: u32,
    block: usize,
    content: &[u8],
) {
    bytes.clear();
    bytes.extend_from_slice(&mark);
    put_u32(bytes, length_u32(HEADER + content.len()));
    put_u32(bytes, 0);
    put_u64(bytes, first.get());
    put_u32(bytes, index);
    put_u32(bytes, length_u32(block));
    bytes.extend_from_slice(content);
    let crc = crc32fast::hash(bytes.get(16..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(12..16) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

/// The piece at the beginning of `bytes`, if it is whole.
pub(super) fn check(bytes: &[u8], mark: [u8; 8]) -> Option<PieceHead> {
    let piece = PieceHead {
        length: u32_at(bytes, 8)?,
        first: Sequence::new(u64_at(bytes, 16)?),
        index: u32_at(bytes, 24)?,
        block: u32_at(bytes, 28)?,
    };
    let whole = bytes.get(16..piece.length as usize)?;
    let sound = bytes.get(..8)? == mark && u32_at(bytes, 12)? == crc32fast::hash(whole);
    sound.then_some(piece)
}

/// How many pieces a block of so many bytes has.
pub(super) fn count(block: usize) -> usize {
    block.div_ceil(CONTENT)
}

/// Reads a block of `length` bytes together, whose pieces begin at `places`.
pub(super) fn gather(
    file: &File,
    places: &[u64],
    length: u32,
    bytes: &mut Vec<u8>,
) -> Result<(), Fault> {
    bytes.resize(length as usize, 0);
    if places.len() != count(length as usize) {
        return Err(Fault::Damaged);
    }
    for (content, place) in bytes.chunks_mut(CONTENT).zip(places) {
        file.read_exact_at(content, place + HEADER as u64)?;
    }
    Ok(())
}
