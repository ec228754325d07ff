//! A sealed segment: one file that never changes, with its blocks, the index over them in pages,
//! and a summary that is kept in memory (about 3 bytes an event). Written by `seal.rs`. See
//! `FORMAT.md`, "Sealed segment".

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytestring::ByteString;
use hashbrown::HashMap;
use rewamp_wamp::id::{PublicationId, SubscriptionId};

use super::bloom::Bloom;
use super::disk::Disk;
use super::head::Head;
use super::index::{BlockEntry, Index, List, Pattern, RESTRICTED};
use super::pages::{ORDINALS, PAGE, PAIRS, Page, PageCache};
use super::segment::Fault;
use crate::engine::fields::{
    ENVELOPE, Unsound, open_envelope, put_text, put_u32, put_u64, seal_envelope, take_text,
    take_u32, take_u64, u32_at, u64_at,
};
use crate::event::{Sequence, Timestamp};
use crate::filter::FilterId;

/// What a sealed file begins with.
pub(super) const MAGIC: [u8; 8] = *b"RWMPSEAL";
const SUMMARY_MAGIC: [u8; 8] = *b"RWMPSUMM";
const FOOTER_MAGIC: [u8; 8] = *b"RWMPFOOT";
/// 0 magic, 8 `u64` where the summary begins, 16 `u32` its length, 20 `u32` CRC-32 of bytes 0 to 20.
const FOOTER: usize = 24;
/// The largest head that is believed: a thousand filters with URIs of a kilobyte are 1 MiB.
const MAX_HEAD: usize = 64 << 20;

/// What a sealed file says about itself, all of which is kept in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) events: u32,
    /// The event stored before the first one.
    pub(super) previous: Sequence,
    pub(super) last: Sequence,
    pub(super) last_time: Timestamp,
    /// The oldest generation whose events are in here: small neighbours are sealed together.
    pub(super) since: u64,
    pub(super) filters: Vec<(FilterId, Sequence, List)>,
    pub(super) blocks: Vec<BlockEntry>,
    pub(super) ordinals: Array<u32>,
    pub(super) publications: Array<u64>,
    pub(super) subscriptions: Array<u64>,
    pub(super) topics: Array<(u32, ByteString)>,
    pub(super) bloom: Bloom,
}

/// An array in pages: where it begins, its entries, and what each page begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Array<T> {
    pub(super) place: u64,
    pub(super) count: u32,
    pub(super) firsts: Vec<T>,
}

impl<T> Array<T> {
    fn page(&self, number: usize) -> u64 {
        self.place + (number * PAGE) as u64
    }

    fn put(&self, bytes: &mut Vec<u8>, put: impl Fn(&mut Vec<u8>, &T)) {
        put_u64(bytes, self.place);
        put_u32(bytes, self.count);
        put_u32(bytes, self.firsts.len() as u32);
        self.firsts.iter().for_each(|first| put(bytes, first));
    }

    fn take(rest: &mut &[u8], take: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Self> {
        let (place, count) = (take_u64(rest)?, take_u32(rest)?);
        let firsts = (0..take_u32(rest)?)
            .map(|_| take(rest))
            .collect::<Option<_>>()?;
        Some(Self {
            place,
            count,
            firsts,
        })
    }
}

impl Summary {
    /// The end of a file whose summary begins at `place`: summary and footer.
    pub(super) fn encode(&self, place: u64) -> Vec<u8> {
        let mut body = Vec::new();
        put_u32(&mut body, self.events);
        put_u64(&mut body, self.previous.get());
        put_u64(&mut body, self.last.get());
        put_u64(&mut body, self.last_time.nanos());
        put_u64(&mut body, self.since);
        put_u32(&mut body, self.filters.len() as u32);
        for (filter, last, list) in &self.filters {
            put_u32(&mut body, filter.get());
            put_u64(&mut body, last.get());
            put_u32(&mut body, list.dense);
            put_u32(&mut body, list.start);
            put_u32(&mut body, list.count);
        }
        put_u32(&mut body, self.blocks.len() as u32);
        for block in &self.blocks {
            put_u64(&mut body, block.first.get());
            put_u64(&mut body, block.time.nanos());
            put_u32(&mut body, block.ordinal);
            put_u32(&mut body, block.length);
            put_u64(&mut body, block.place);
        }
        self.ordinals
            .put(&mut body, |body, first| put_u32(body, *first));
        self.publications
            .put(&mut body, |body, first| put_u64(body, *first));
        self.subscriptions
            .put(&mut body, |body, first| put_u64(body, *first));
        self.topics.put(&mut body, |body, (number, name)| {
            put_u32(body, *number);
            put_text(body, name);
        });
        self.bloom.put(&mut body);
        let mut bytes = seal_envelope(SUMMARY_MAGIC, &body);
        let length = bytes.len() as u32;
        let begin = bytes.len();
        bytes.extend_from_slice(&FOOTER_MAGIC);
        put_u64(&mut bytes, place);
        put_u32(&mut bytes, length);
        let crc = crc32fast::hash(bytes.get(begin..).unwrap_or_default());
        put_u32(&mut bytes, crc);
        bytes
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let (events, previous) = (take_u32(rest)?, Sequence::new(take_u64(rest)?));
        let last = Sequence::new(take_u64(rest)?);
        let (last_time, since) = (Timestamp::from_nanos(take_u64(rest)?), take_u64(rest)?);
        let mut filters = Vec::new();
        for _ in 0..take_u32(rest)? {
            let (filter, last) = (FilterId::new(take_u32(rest)?), take_u64(rest)?);
            let list = List {
                dense: take_u32(rest)?,
                start: take_u32(rest)?,
                count: take_u32(rest)?,
            };
            filters.push((filter, Sequence::new(last), list));
        }
        let mut blocks = Vec::new();
        for _ in 0..take_u32(rest)? {
            blocks.push(BlockEntry {
                first: Sequence::new(take_u64(rest)?),
                time: Timestamp::from_nanos(take_u64(rest)?),
                ordinal: take_u32(rest)?,
                length: take_u32(rest)?,
                place: take_u64(rest)?,
            });
        }
        Some(Self {
            events,
            previous,
            last,
            last_time,
            since,
            filters,
            blocks,
            ordinals: Array::take(rest, take_u32)?,
            publications: Array::take(rest, take_u64)?,
            subscriptions: Array::take(rest, take_u64)?,
            topics: Array::take(rest, |rest| {
                Some((take_u32(rest)?, ByteString::from(take_text(rest)?)))
            })?,
            bloom: Bloom::take(rest)?,
        })
    }
}

/// An open sealed file.
#[derive(Debug)]
pub(super) struct Sealed {
    file: File,
    size: u64,
    summary: Summary,
    filters: HashMap<FilterId, (Sequence, List), foldhash::quality::RandomState>,
    /// A bit a block: its checksum was right when it was first read.
    checked: Box<[AtomicU64]>,
}

/// Why a sealed file does not open.
#[derive(Debug)]
pub(super) enum Unopened {
    Unsound(Unsound),
    Failed(Fault),
}

impl Sealed {
    /// Opens a file: reads its head and its summary.
    pub(super) fn open(disk: &Disk, path: &Path) -> Result<(Self, Head), Unopened> {
        let file = disk
            .open(path)
            .map_err(|error| Unopened::Failed(error.into()))?;
        let head = read_head(&file)?;
        let summary = read_summary(&file)?;
        let size = disk.size(path);
        Ok((Self::new(file, size, summary), head))
    }

    pub(super) fn new(file: File, size: u64, summary: Summary) -> Self {
        let lists = summary.filters.iter();
        let filters = lists
            .map(|(filter, last, list)| (*filter, (*last, *list)))
            .collect();
        let words = summary.blocks.len().div_ceil(64);
        let checked = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self {
            file,
            size,
            summary,
            filters,
            checked,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes on disk.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn previous(&self) -> Sequence {
        self.summary.previous
    }

    pub(super) fn since(&self) -> u64 {
        self.summary.since
    }

    pub(super) fn last(&self) -> (Sequence, Timestamp) {
        (self.summary.last, self.summary.last_time)
    }

    pub(super) fn last_of(&self, filter: FilterId) -> Sequence {
        self.filters
            .get(&filter)
            .map_or(Sequence::ZERO, |(last, _)| *last)
    }

    /// The filters that have events in here.
    pub(super) fn filters(&self) -> impl Iterator<Item = (FilterId, Sequence)> {
        self.summary
            .filters
            .iter()
            .map(|(filter, last, _)| (*filter, *last))
            .filter(|(filter, _)| *filter != RESTRICTED)
    }

    pub(super) fn publication(&self, publication: PublicationId) -> Result<Option<u32>, Fault> {
        if !self.summary.bloom.may_hold(publication.get()) {
            return Ok(None);
        }
        self.find_pair(&self.summary.publications, publication.get())
    }

    pub(super) fn subscribed_topic(&self, id: SubscriptionId) -> Result<Option<ByteString>, Fault> {
        let Some(number) = self.find_pair(&self.summary.subscriptions, id.get())? else {
            return Ok(None);
        };
        let topics = &self.summary.topics;
        let after = topics.firsts.partition_point(|(first, _)| *first <= number);
        let Some(page) = after.checked_sub(1) else {
            return Err(Fault::Damaged);
        };
        let first = topics.firsts.get(page).map_or(0, |(first, _)| *first);
        let page = Page::read(&self.file, topics.page(page))?;
        let topic = page
            .topics()
            .nth((number - first) as usize)
            .ok_or(Fault::Damaged)?;
        Ok(Some(ByteString::from(topic.name)))
    }

    fn find_pair(&self, array: &Array<u64>, key: u64) -> Result<Option<u32>, Fault> {
        let after = array.firsts.partition_point(|first| *first <= key);
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        let count = array.count as usize - number * PAIRS;
        let page = Page::read(&self.file, array.page(number))?;
        Ok(page.find_pair(key, count))
    }

    pub(super) fn is_checked(&self, first: Sequence) -> bool {
        self.checked_bit(first)
            .is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    pub(super) fn set_checked(&self, first: Sequence) {
        if let Some((word, bit)) = self.checked_bit(first) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn checked_bit(&self, first: Sequence) -> Option<(&AtomicU64, u64)> {
        let blocks = &self.summary.blocks;
        let number = blocks
            .binary_search_by_key(&first, |block| block.first)
            .ok()?;
        Some((self.checked.get(number / 64)?, 1 << (number % 64)))
    }
}

impl Index for Sealed {
    fn events(&self) -> u32 {
        self.summary.events
    }

    fn blocks(&self) -> &[BlockEntry] {
        &self.summary.blocks
    }

    fn topics(&self) -> u32 {
        self.summary.topics.count
    }

    fn filter(&self, filter: FilterId) -> List {
        self.filters
            .get(&filter)
            .map_or(List::default(), |(_, list)| *list)
    }

    fn topic(&self, name: &str, pages: &mut PageCache) -> Result<List, Fault> {
        let topics = &self.summary.topics;
        let after = topics.firsts.partition_point(|(_, first)| &**first <= name);
        let Some(number) = after.checked_sub(1) else {
            return Ok(List::default());
        };
        let page = pages.page(&self.file, topics.page(number))?;
        let found = page.topics().find(|topic| topic.name == name);
        Ok(found.map_or(List::default(), |topic| topic.list()))
    }

    fn restricted(&self) -> List {
        let unknown = List {
            dense: self.summary.events,
            ..List::default()
        };
        self.filters
            .get(&RESTRICTED)
            .map_or(unknown, |(_, list)| *list)
    }

    fn each_topic(
        &self,
        pattern: Pattern<'_>,
        after: Option<&str>,
        pages: &mut PageCache,
        visit: &mut dyn FnMut(&str, List) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let prefix = pattern.prefix();
        let topics = &self.summary.topics;
        let start = after.unwrap_or(prefix);
        let begin = topics.firsts.partition_point(|(_, first)| &**first < start);
        for number in begin.saturating_sub(1)..topics.firsts.len() {
            let page = pages.page(&self.file, topics.page(number))?;
            for topic in page.topics() {
                if topic.name > prefix && !topic.name.starts_with(prefix) {
                    return Ok(());
                }
                let wanted =
                    after.is_none_or(|after| topic.name > after) && pattern.holds(topic.name);
                if wanted && visit(topic.name, topic.list()).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn at(&self, list: &List, index: u32, pages: &mut PageCache) -> Result<u32, Fault> {
        let Some(index) = index.checked_sub(list.dense) else {
            return Ok(index);
        };
        let at = list.start as usize + index as usize;
        let page = pages.page(&self.file, self.summary.ordinals.page(at / ORDINALS))?;
        page.ordinal(at % ORDINALS).ok_or(Fault::Damaged)
    }

    fn below(&self, list: &List, ordinal: u32, pages: &mut PageCache) -> Result<u32, Fault> {
        if ordinal <= list.dense {
            return Ok(ordinal);
        }
        // The pages that lie wholly in the list are narrowed to one without reading any.
        let (begin, end) = (list.start as usize, (list.start + list.count) as usize);
        let firsts = &self.summary.ordinals.firsts;
        let whole = firsts.get(begin.div_ceil(ORDINALS)..end.div_ceil(ORDINALS));
        let passed = whole
            .unwrap_or_default()
            .partition_point(|first| *first < ordinal);
        let low = match passed {
            0 => begin,
            passed => (begin.div_ceil(ORDINALS) + passed - 1) * ORDINALS,
        };
        let high = ((begin.div_ceil(ORDINALS) + passed) * ORDINALS).min(end);
        let index = |at: usize| list.dense + (at - begin) as u32;
        let (mut low, mut high) = (index(low), index(high.max(low)));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(list, middle, pages)? < ordinal {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }
}

/// The head that a sealed file begins with.
pub(super) fn read_head(file: &File) -> Result<Head, Unopened> {
    let failed = |error| Unopened::Failed(Fault::from(error));
    let mut start = [0; ENVELOPE];
    file.read_exact_at(&mut start, 0).map_err(failed)?;
    let length = u32_at(&start, 12).map_or(0, |length| length as usize);
    if length > MAX_HEAD {
        return Err(Unopened::Unsound(Unsound::Damaged));
    }
    let mut bytes = vec![0; ENVELOPE + length];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    Head::decode(MAGIC, &bytes).map_err(Unopened::Unsound)
}

fn read_summary(file: &File) -> Result<Summary, Unopened> {
    let failed = |error| Unopened::Failed(Fault::from(error));
    let damaged = Unopened::Unsound(Unsound::Damaged);
    let end = file.metadata().map_err(failed)?.len();
    let Some(begin) = end.checked_sub(FOOTER as u64) else {
        return Err(damaged);
    };
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, begin).map_err(failed)?;
    let sound = footer.starts_with(&FOOTER_MAGIC)
        && u32_at(&footer, 20) == Some(crc32fast::hash(footer.get(..20).unwrap_or_default()));
    let (place, length) = (
        u64_at(&footer, 8).unwrap_or(0),
        u32_at(&footer, 16).unwrap_or(0),
    );
    if !sound || place.checked_add(u64::from(length)) != Some(begin) {
        return Err(damaged);
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, place).map_err(failed)?;
    let mut body = open_envelope(SUMMARY_MAGIC, &bytes).map_err(Unopened::Unsound)?;
    Summary::take(&mut body).ok_or(damaged)
}
