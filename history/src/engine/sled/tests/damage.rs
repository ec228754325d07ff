//! A store of several segments is damaged in every way and place: it opens, the other segments
//! are whole, nearly all of the damaged one is there, and what is missing is named.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::contract::desk::publication;
use crate::engine::fields::u64_at;
use rewamp_wamp::id::RandomIds;

const EVENTS: u64 = 12_000;

/// Events of what is damaged, at least: of fewer, the one block that a flipped bit may cost is
/// more than a twentieth.
const MANY: u64 = 700;

/// A store with three sealed segments or more and one that grows, never closed cleanly.
struct Sound {
    folder: tempfile::TempDir,
    /// First and last sequence of each sealed file of at least [`MANY`] events, by name.
    sealed: Vec<(String, u64, u64)>,
}

impl Sound {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sled = open_damaged(folder.path());
        let shared = Arc::clone(&sled.shared);
        let mut desk = Desk::at(Arc::new(sled));
        // The last batches come when all before them is sealed, into a log of their own: wherever
        // sled's timing has the one before end, it has as many events.
        for (begin, end) in [(0, EVENTS - 1_200), (EVENTS - 1_200, EVENTS)] {
            shared.retire_active();
            let numbers: Vec<u64> = (begin..end).collect();
            for numbers in numbers.chunks(100) {
                let events = events(&mut desk, numbers);
                desk.store.append(&events).unwrap();
            }
            wait_until("full segments are sealed", || {
                let segments = shared.segments();
                segments
                    .iter()
                    .rev()
                    .skip(1)
                    .all(|segment| segment.sealed().is_some())
            });
        }
        let sealed = shared
            .segments()
            .iter()
            .filter(|segment| segment.sealed().is_some())
            .map(|segment| {
                let name = segment
                    .path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                let (first, last) = segment.ends().unwrap();
                (name, first.get(), last.get())
            })
            .collect::<Vec<_>>();
        assert!(sealed.len() >= 3, "{sealed:?}");
        let active = shared.segments_and_growing().1.unwrap();
        assert!(u64::from(active.events()) >= MANY, "{}", active.events());
        let many = sealed.into_iter();
        let sealed: Vec<_> = many
            .filter(|(_, first, last)| last - first >= MANY)
            .collect();
        assert!(sealed.len() >= 2, "{sealed:?}");
        drop((desk, active));
        drop(shared);
        Self { folder, sealed }
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }

    /// The database that grew when the store ended.
    fn active(&self, folder: &Path) -> PathBuf {
        let active = names(folder)
            .into_iter()
            .filter(|name| name.ends_with(".active"));
        let size = |name: &String| fs::metadata(folder.join(name).join("db")).unwrap().len();
        folder.join(active.max_by_key(size).unwrap())
    }
}

/// Events of some 250 bytes.
fn events(desk: &mut Desk, numbers: &[u64]) -> Vec<Arc<Event>> {
    let event = |number: &u64| {
        let event = desk.accept(&format!("com.{}", number % 50));
        Arc::new(Event {
            details: Some(vec![b'd'; 200].into()),
            ..event
        })
    };
    numbers.iter().map(event).collect()
}

fn open_damaged(path: &Path) -> Sled {
    let filters = [filter("com.", Prefix), filter("com.7", Exact)];
    let sizes = Sizes {
        max: 64 << 20,
        segment: 1 << 20,
    };
    Sled::open_on(Disk::default(), sizes, path, config(path, &filters, None)).unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens a damaged store twice, reads everything, and says which events are missing.
fn missing(what: &str, folder: &Path) -> BTreeSet<u64> {
    let mut missing = Vec::new();
    for _ in 0..2 {
        let store = open_damaged(folder);
        let found = sequences(&store, "com.");
        assert!(found.is_sorted_by(|one, other| one < other), "{what}");
        let mut by_topic = sequences_of(&store, "com.7");
        by_topic.retain(|sequence| !found.contains(sequence));
        assert_eq!(by_topic, [], "{what}");
        check_publications(&store, &found, what);
        let found: BTreeSet<u64> = found.into_iter().collect();
        let gone: BTreeSet<u64> = (1..=EVENTS)
            .filter(|number| !found.contains(number))
            .collect();
        let lost = store.lost();
        for number in &gone {
            let named = lost
                .iter()
                .any(|lost| (lost.from.get()..=lost.to.get()).contains(number));
            assert!(named, "{what}: {number} is missing and not named: {lost:?}");
        }
        assert!(store.opened().next_sequence.get() > EVENTS, "{what}");
        missing.push(gone);
        // The store goes on.
        let mut desk = Desk::at(Arc::new(store));
        desk.publish("com.x");
    }
    assert_eq!(
        missing[0], missing[1],
        "{what}: the next start finds something else"
    );
    missing.swap_remove(0)
}

/// Every hundredth event is found by its publication.
fn check_publications(store: &Sled, found: &[u64], what: &str) {
    let filter = store.covering("com.", Prefix).unwrap();
    let scope = Scope {
        uri: "com.".into(),
        match_policy: Prefix,
        filter,
    };
    for sequence in found.iter().step_by(100) {
        let mut query = Query {
            limit: 1,
            ..Query::all(scope.clone(), anybody())
        };
        query.publication.from = Some(publication(Sequence::new(*sequence)));
        let mut first = 0;
        let read = store.read(&query, &[], &mut |event| {
            first = event.sequence.get();
            ControlFlow::Continue(())
        });
        assert!(
            read.is_ok() && first == *sequence,
            "{what}: {read:?} for event {sequence}"
        );
    }
}

fn sequences_of(store: &Sled, topic: &str) -> Vec<u64> {
    let desk_filter = store.covering(topic, Exact).unwrap();
    let scope = Scope {
        uri: topic.into(),
        match_policy: Exact,
        filter: desk_filter,
    };
    let mut found = Vec::new();
    let read = store.read(&Query::all(scope, anybody()), &[], &mut |event| {
        found.push(event.sequence.get());
        ControlFlow::Continue(())
    });
    read.unwrap();
    found
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(bytes: &mut [u8], bit: usize) {
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn zero(bytes: &mut [u8], at: usize, count: usize) {
    let at = at % bytes.len();
    let end = (at + count).min(bytes.len());
    bytes[at..end].fill(0);
}

#[test]
fn small_files_can_be_lost_without_losing_events() {
    let sound = Sound::new();
    for file in ["store", "mark", "patterns", "lock"] {
        for (damage, bytes) in [
            ("removed", None),
            ("emptied", Some(vec![])),
            ("zeroed", Some(vec![0; 600])),
        ] {
            let copy = sound.copy();
            match bytes {
                None => fs::remove_file(copy.path().join(file)).unwrap(),
                Some(bytes) => fs::write(copy.path().join(file), bytes).unwrap(),
            }
            let what = format!("{file} {damage}");
            assert_eq!(missing(&what, copy.path()), BTreeSet::new(), "{what}");
        }
        let copy = sound.copy();
        let path = copy.path().join(file);
        if fs::metadata(&path).unwrap().len() > 0 {
            change(&path, |bytes| flip(bytes, 333));
        }
        assert_eq!(
            missing(file, copy.path()),
            BTreeSet::new(),
            "{file} flipped"
        );
    }
    let copy = sound.copy();
    let active = sound.active(copy.path());
    for file in names(&active) {
        if file != "db" && active.join(&file).is_file() {
            fs::remove_file(active.join(file)).unwrap();
        }
    }
    assert_eq!(
        missing("all but the log removed", copy.path()),
        BTreeSet::new()
    );
}

#[test]
fn with_the_catalog_gone_ids_and_incarnation_are_the_same() {
    let sound = Sound::new();
    let copy = sound.copy();
    let before = open_damaged(sound.folder.path());
    fs::remove_file(copy.path().join("store")).unwrap();
    let after = open_damaged(copy.path());
    assert_eq!(after.opened().incarnation, before.opened().incarnation);
    for (uri, match_policy) in [("com.", Prefix), ("com.7", Exact)] {
        let id = before.subscription_id(uri, match_policy);
        assert_eq!(after.subscription_id(uri, match_policy), id);
        assert_eq!(
            after.covering(uri, match_policy),
            before.covering(uri, match_policy)
        );
    }
}

#[test]
fn a_sealed_segment_with_a_damaged_place_keeps_nearly_all_of_itself() {
    let sound = Sound::new();
    let mut random = RandomIds::seeded(7);
    let mut draw = || random.draw::<rewamp_wamp::id::kind::Request>().get() as usize;
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>, usize), f64);
    let summary = |bytes: &[u8]| u64_at(bytes, bytes.len() - 16).unwrap() as usize;
    let damages: [Damage<'_>; 11] = [
        (
            "a bit of the index flipped",
            &|bytes, at| {
                // Ordinals, publications, subscriptions and topics, in pages of 4 KiB.
                let begin = summary(bytes) - 6 * 4_096;
                let end = summary(bytes);
                flip(&mut bytes[begin..end], at);
            },
            1.0,
        ),
        (
            "the index zeroed",
            &|bytes, _| {
                let end = summary(bytes);
                bytes[end - 6 * 4_096..end].fill(0);
            },
            1.0,
        ),
        ("a bit flipped", &|bytes, at| flip(bytes, at), 0.95),
        (
            "a bit of the head flipped",
            &|bytes, at| flip(&mut bytes[..60], at),
            1.0,
        ),
        (
            "a bit of the summary flipped",
            &|bytes, at| {
                let begin = bytes.len() - 400;
                flip(&mut bytes[begin..], at);
            },
            1.0,
        ),
        ("4 kB zeroed", &|bytes, at| zero(bytes, at, 4_096), 0.95),
        (
            "the first 4 kB zeroed",
            &|bytes, _| zero(bytes, 0, 4_096),
            0.95,
        ),
        (
            "the last 4 kB zeroed",
            &|bytes, _| {
                let at = bytes.len() - 4_096;
                zero(bytes, at, 4_096);
            },
            0.95,
        ),
        (
            "the footer cut",
            &|bytes, _| bytes.truncate(bytes.len() - 10),
            1.0,
        ),
        (
            "a tenth cut",
            &|bytes, _| bytes.truncate(bytes.len() * 9 / 10),
            0.85,
        ),
        ("emptied", &|bytes, _| bytes.clear(), 0.0),
    ];
    for (what, damage, least) in damages {
        for round in 0..4 {
            let (name, first, last) = &sound.sealed[round % sound.sealed.len()];
            let copy = sound.copy();
            let at = draw();
            change(&copy.path().join(name), |bytes| damage(bytes, at));
            let what = format!("{name}: {what} ({at})");
            let missing = missing(&what, copy.path());
            assert!(
                missing
                    .iter()
                    .all(|number| (*first..=*last).contains(number)),
                "{what}: {missing:?}"
            );
            let events = (last - first + 1) as f64;
            let kept = 1.0 - missing.len() as f64 / events;
            assert!(kept >= least, "{what}: {kept} of {events} events kept");
        }
    }
}

#[test]
fn damage_that_comes_while_the_store_is_open_is_found_when_it_is_read() {
    use std::os::unix::fs::FileExt as _;
    let sound = Sound::new();
    for zeroed in [0..200_000, 400_000..600_000] {
        let copy = sound.copy();
        let store = open_damaged(copy.path());
        let (name, first, last) = &sound.sealed[1];
        let file = fs::OpenOptions::new()
            .write(true)
            .open(copy.path().join(name))
            .unwrap();
        let end = zeroed.end.min(file.metadata().unwrap().len());
        file.write_all_at(&vec![0; (end - zeroed.start) as usize], zeroed.start)
            .unwrap();
        let found: BTreeSet<u64> = sequences(&store, "com.").into_iter().collect();
        let topic: BTreeSet<u64> = sequences_of(&store, "com.7").into_iter().collect();
        assert!(topic.is_subset(&found));
        let missing: Vec<u64> = (1..=EVENTS)
            .filter(|number| !found.contains(number))
            .collect();
        assert!(
            !missing.is_empty()
                && missing
                    .iter()
                    .all(|number| (first..=last).contains(&number))
        );
        for number in missing {
            let named = |lost: &Lost| (lost.from.get()..=lost.to.get()).contains(&number);
            assert!(
                store.lost().iter().any(named),
                "{number}: {:?}",
                store.lost()
            );
        }
        let mut desk = Desk::at(Arc::new(store));
        desk.publish("com.x");
    }
}

#[test]
fn a_sealed_segment_that_is_removed_is_missed_alone() {
    let sound = Sound::new();
    let copy = sound.copy();
    let (name, first, last) = &sound.sealed[1];
    fs::remove_file(copy.path().join(name)).unwrap();
    let missing = missing("removed", copy.path());
    assert_eq!(missing, (*first..=*last).collect());
}

#[test]
fn what_is_left_of_a_damaged_log_is_read_and_what_is_not_is_named() {
    let sound = Sound::new();
    let before = sound.sealed[sound.sealed.len() - 1].2;
    let mut random = RandomIds::seeded(8);
    let mut draw = || random.draw::<rewamp_wamp::id::kind::Request>().get() as usize;
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>, usize), f64);
    let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let damages: [Damage<'_>; 6] = [
        ("a bit flipped", &|bytes, at| flip(bytes, at), 0.95),
        ("4 kB zeroed", &|bytes, at| zero(bytes, at, 4_096), 0.90),
        ("64 kB zeroed", &|bytes, at| zero(bytes, at, 65_536), 0.5),
        (
            "100 B of the tail cut",
            &|bytes, _| bytes.truncate(used(bytes) - 100),
            0.90,
        ),
        (
            "20 kB of the tail cut",
            &|bytes, _| bytes.truncate(used(bytes) - 20_000),
            0.5,
        ),
        ("emptied", &|bytes, _| bytes.clear(), 0.0),
    ];
    for (what, damage, least) in damages {
        for _ in 0..5 {
            let copy = sound.copy();
            let at = draw();
            change(&sound.active(copy.path()).join("db"), |bytes| {
                damage(bytes, at)
            });
            let what = format!("{what} ({at})");
            let missing = missing(&what, copy.path());
            assert!(
                missing.iter().all(|number| *number > before),
                "{what}: {missing:?}"
            );
            let events = (EVENTS - before) as f64;
            let kept = 1.0 - missing.len() as f64 / events;
            assert!(kept >= least, "{what}: {kept} of {events} events kept");
            let aside = names(copy.path())
                .iter()
                .any(|name| name.starts_with("bad-"));
            assert!(
                missing.is_empty() || aside,
                "{what}: what was damaged is kept"
            );
        }
    }
}

#[test]
fn a_publication_that_looks_like_a_block_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    // The events of one store, as they lie in its log, are published in another.
    let foreign = Sound::new();
    let log = fs::read(foreign.active(foreign.folder.path()).join("db")).unwrap();
    let mut desk = Desk::at(Arc::new(open_damaged(other.path())));
    drop(desk.publish("com.a"));
    let mut desk = Desk::at(Arc::new(open_damaged(folder.path())));
    let mut event = desk.accept("com.a");
    event.details = Some(log.into());
    desk.store.append(&[Arc::new(event)]).unwrap();
    drop(desk);
    let store = open_damaged(folder.path());
    assert_eq!(sequences(&store, "com."), [1]);
}

/// The pages of the index are the last of a sealed file before its summary.
#[test]
fn topics_are_read_without_an_index_and_nothing_is_shown_twice() {
    let sound = Sound::new();
    let ask = |store: Sled, newest: Option<u64>, reverse: bool| {
        let desk = Desk {
            first: Sequence::new(1),
            ..Desk::at(Arc::new(store))
        };
        let mut found = desk.ask(&Query {
            last_per_topic: newest,
            reverse,
            ..desk.all("com.", Wildcard)
        });
        if reverse {
            found.reverse();
        }
        found
    };
    for page in 1..=8 {
        for (number, (name, first, last)) in sound.sealed.iter().enumerate() {
            // Ordinals, publications, and a page each of subscriptions and topics; what is before
            // them is an event, and damaged it is gone.
            let events = (last - first + 1) as usize;
            if page > events.div_ceil(1_023) + events.div_ceil(341) + 2 {
                continue;
            }
            let folder = sound.copy();
            let path = folder.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            let summary = u64_at(&bytes, bytes.len() - 16).unwrap() as usize;
            bytes[summary - page * 4_096 + 100] ^= 1;
            fs::write(&path, bytes).unwrap();
            // Either way to ask meets the damage first in one of two copies.
            let again = tempfile::tempdir().unwrap();
            copy_folder(folder.path(), again.path());
            let reverse = (page + number) % 2 == 0;
            let newest = ask(open_damaged(folder.path()), Some(EVENTS / 50 - 5), reverse);
            assert!(
                newest.iter().copied().eq(251..=EVENTS),
                "newest of each topic, page {page} of {name}"
            );
            let all = ask(open_damaged(again.path()), None, reverse);
            assert!(
                all.iter().copied().eq(1..=EVENTS),
                "all, page {page} of {name}"
            );
        }
    }
}
