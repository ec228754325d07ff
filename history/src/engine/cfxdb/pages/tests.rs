//! Files of LMDB 1.0, written by the engine, and one of 0.9, written by LMDB 0.9.36 with Python.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::lmdb::{Env, Options};
use super::*;

const OPTIONS: Options = Options {
    map: 64 << 20,
    readonly: false,
    mode: 0o640,
    sync: false,
};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn all(pages: &Pages, prefix: &[u8]) -> Done<Rows> {
    let mut found = Rows::new();
    let mut last = Vec::new();
    pages.each(prefix, &mut |key, value| {
        assert!(*key > *last || found.is_empty());
        last = key.to_vec();
        found.insert(key.to_vec(), value.to_vec());
        Ok(())
    })?;
    Ok(found)
}

/// Values of many sizes, some on pages of their own.
fn rows(from: u32, to: u32) -> Rows {
    let row = |number: u32| {
        let mut key = number.wrapping_mul(2_654_435_761).to_be_bytes().to_vec();
        key.extend_from_slice(&[0; 30][..(number as usize % 15) * 2]);
        (key, vec![number as u8; number as usize * 37 % 9_000])
    };
    (from..to).map(row).collect()
}

fn put_all(folder: &Path, rows: &Rows) {
    let env = Env::open(folder, OPTIONS).unwrap();
    for part in rows.iter().collect::<Vec<_>>().chunks(300) {
        let mut txn = env.write().unwrap();
        for (key, value) in part {
            txn.put(key, value).unwrap();
        }
        txn.commit().unwrap();
    }
}

fn check(pages: &Pages, expected: &Rows) {
    assert_eq!(pages.rows, expected.len() as u64);
    assert_eq!(all(pages, b"").unwrap(), *expected);
    for (key, value) in expected {
        assert_eq!(pages.get(key).unwrap().as_ref(), Some(value));
        let mut other = key.clone();
        other.push(0);
        let found = expected.get(&other);
        assert_eq!(pages.get(&other).unwrap().as_ref(), found);
    }
    for first in 0..=255_u8 {
        let expected = expected.iter().filter(|(key, _)| key[0] == first);
        let expected: Rows = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(all(pages, &[first]).unwrap(), expected);
    }
}

#[test]
fn what_lmdb_has_written_is_read_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.mdb");
    put_all(folder.path(), &Rows::new());
    let mut expected = rows(0, 2_000);
    put_all(folder.path(), &expected);
    let pages = Pages::open(&file).unwrap();
    assert_eq!(pages.format(), Format::V3);
    check(&pages, &expected);
    assert!(pages.is_unchanged().unwrap());
    let more = rows(2_000, 2_100);
    put_all(folder.path(), &more);
    assert!(!pages.is_unchanged().unwrap());
    expected.extend(more);
    check(&Pages::open(&file).unwrap(), &expected);
}

#[test]
fn an_empty_file_has_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    drop(Env::open(folder.path(), OPTIONS).unwrap());
    let pages = Pages::open(&folder.path().join("data.mdb")).unwrap();
    assert_eq!(all(&pages, b"").unwrap(), Rows::new());
    assert_eq!(pages.get(b"ab").unwrap(), None);
}

/// Looks at everything: it has to end, and to end without a panic.
fn look(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    let Ok(pages) = Pages::open(file.path()) else {
        return;
    };
    let mut seen = 0_u64;
    let _ = pages.each(b"", &mut |key, value| {
        seen += 1;
        let _ = (pages.get(key), value.len());
        Ok(())
    });
    // Every page that is looked at has half as many nodes as bytes, at most.
    assert!(seen <= bytes.len() as u64 + 1);
    let _ = pages.each(&[0x7f], &mut |_, _| Ok(()));
    let _ = (pages.get(b""), pages.get(&[0xff; 4]), pages.is_unchanged());
}

/// A small file of either format, with branches, leaves and values on pages of their own.
fn small(format: Format) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    put_all(folder.path(), &rows(0, 60));
    let bytes = std::fs::read(folder.path().join("data.mdb")).unwrap();
    match format {
        Format::V3 => bytes,
        Format::V1 => bytes.chunks(4_096).flat_map(as_older).collect(),
    }
}

/// A page as LMDB 0.9 would have it, but for what follows on pages of a value's own.
fn as_older(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    page.drain(8..16);
    page.extend_from_slice(&[0; 8]);
    let (head, flags) = (16, u16_at(&page, 10).unwrap());
    if flags & 8 != 0 {
        page[head + 4] = 1;
    }
    if flags & (page::BRANCH | page::LEAF) != 0 {
        let lower = usize::from(u16_at(&page, 12).unwrap());
        // The end of the places, and each place, count from the page's beginning.
        for at in (head..head + lower).step_by(2).chain([12]) {
            let place = u16_at(&page, at).unwrap() + head as u16;
            page[at..at + 2].copy_from_slice(&place.to_le_bytes());
        }
    }
    page
}

#[test]
fn the_older_format_is_read_as_well() {
    let folder = tempfile::tempdir().unwrap();
    // No value on more than one page of its own.
    let mut expected = rows(0, 200);
    expected.retain(|_, value| value.len() < 4_000);
    put_all(folder.path(), &expected);
    let file = folder.path().join("data.mdb");
    let bytes = std::fs::read(&file).unwrap();
    let older: Vec<u8> = bytes.chunks(4_096).flat_map(as_older).collect();
    std::fs::write(&file, older).unwrap();
    let pages = Pages::open(&file).unwrap();
    assert_eq!(pages.format(), Format::V1);
    check(&pages, &expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_stands_in_a_file_reading_it_ends(
        is_older in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        heads in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, any::<u8>()), 0..12),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let format = if is_older { Format::V1 } else { Format::V3 };
        let mut bytes = small(format);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (page, at, byte) in heads {
            let at = page.index(bytes.len() / 4_096) * 4_096 + at;
            bytes[at] = byte;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        look(&bytes);
    }
}

#[test]
fn a_page_that_leads_to_itself_is_no_endless_way() {
    let mut bytes = small(Format::V3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.mdb");
    std::fs::write(&path, &bytes).unwrap();
    let root = Pages::open(&path).unwrap().root;
    let at = root as usize * 4_096;
    bytes[at + 18] = 1;
    let nodes = usize::from(u16_at(&bytes, at + 20).unwrap()) / 2;
    assert!(nodes > 1);
    for node in 0..nodes {
        let place = at + 24 + usize::from(u16_at(&bytes, at + 24 + 2 * node).unwrap());
        bytes[place..place + 6].copy_from_slice(&root.to_le_bytes()[..6]);
    }
    std::fs::write(&path, &bytes).unwrap();
    let pages = Pages::open(&path).unwrap();
    assert_eq!(all(&pages, b""), Err(LmdbError::DAMAGED));
    assert_eq!(pages.get(&[0x80; 4]), Err(LmdbError::DAMAGED));
}
