//! The newest blocks of the active segment, kept in memory beside sled: newest pages are asked for
//! most, and sled takes several times as long to find a block as it takes to read it. Written by the
//! one writer, shared with all readers.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::event::Sequence;

/// Bytes of blocks that are kept, at most. 512 KiB: some thousand events that came one by one.
const BYTES: usize = 512 * 1024;

/// Bytes that a kept block takes besides its own.
const OVERHEAD: usize = 48;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Recent(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// In order, each by its first sequence.
    blocks: VecDeque<(Sequence, Arc<[u8]>)>,
    bytes: usize,
}

impl Recent {
    /// Keeps a block, which comes after all others, and forgets the oldest that are too many.
    pub(super) fn keep(&self, first: Sequence, block: &[u8]) {
        let mut kept = self.0.write();
        kept.bytes += block.len() + OVERHEAD;
        kept.blocks.push_back((first, block.into()));
        while kept.bytes > BYTES
            && let Some((_, oldest)) = kept.blocks.pop_front()
        {
            kept.bytes -= oldest.len() + OVERHEAD;
        }
    }

    /// The block that begins with `first`, if it is kept. `near` is the place of the last one that
    /// was asked for, counted from the newest: it is looked for beside that before it is searched
    /// for.
    pub(super) fn get(&self, first: Sequence, near: &mut usize) -> Option<Arc<[u8]>> {
        let kept = self.0.read();
        let count = kept.blocks.len();
        for back in [*near, *near + 1, near.wrapping_sub(1)] {
            let place = count.checked_sub(1).and_then(|last| last.checked_sub(back));
            if let Some((found, block)) = place.and_then(|place| kept.blocks.get(place))
                && *found == first
            {
                *near = back;
                return Some(Arc::clone(block));
            }
        }
        let place = kept
            .blocks
            .binary_search_by_key(&first, |(first, _)| *first)
            .ok()?;
        *near = count - 1 - place;
        let (_, block) = kept.blocks.get(place)?;
        Some(Arc::clone(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_no_more_than_there_is_room_for() {
        let recent = Recent::default();
        for first in 1..=1_000_u64 {
            recent.keep(Sequence::new(first * 3), &[first as u8; 2_000]);
        }
        let kept = BYTES / (2_000 + OVERHEAD);
        // Forwards, backwards, and from one end to the other.
        let orders: [Vec<u64>; 3] = [
            (1..=1_000).collect(),
            (1..=1_000).rev().collect(),
            (1..=500).flat_map(|first| [first, 1_001 - first]).collect(),
        ];
        for order in orders {
            let mut near = 7;
            for first in order {
                let found = recent.get(Sequence::new(first * 3), &mut near);
                let expected = first > 1_000 - kept as u64;
                assert_eq!(found.is_some(), expected, "{first}");
                assert!(found.is_none_or(|block| block[..] == [first as u8; 2_000]));
                let between = Sequence::new(first * 3 + 1);
                assert!(recent.get(between, &mut near).is_none());
            }
        }
        recent.keep(Sequence::new(5_000), &vec![0; BYTES + 1]);
        assert!(recent.get(Sequence::new(5_000), &mut 0).is_none());
        assert_eq!(recent.0.read().bytes, 0);
    }
}
