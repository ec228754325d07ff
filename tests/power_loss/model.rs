//! A disk that forgets: from what a program did to a folder, what may be left of it when the power
//! goes. A file keeps what was synced and any part of what was written after, in sectors; a folder
//! keeps the names that were there when it was synced and any part of what was done to them after.
//! That is what POSIX promises; no file system promises less.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::journal::{Action, Record};

/// What a drive writes in one piece.
const SECTOR: usize = 512;

/// Random numbers from a seed that a failing test prints. SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end`, `end` included.
    pub(crate) fn up_to(&mut self, end: usize) -> usize {
        (self.roll() % (end as u64 + 1)) as usize
    }

    /// True that many times of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }
}

/// How much of what was not synced is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Everything,
    /// What came first, and of the next one a part.
    Beginning,
    /// Each with this probability in percent, sector by sector.
    Some(u64),
}

impl Left {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        match dice.up_to(5) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Beginning,
            _ => Self::Some([5, 50, 95][dice.up_to(2)]),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

#[derive(Debug, Default)]
struct File {
    /// As it is for those who look at it while there is power.
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Since then. Numbered on from `before`.
    changes: Vec<Change>,
    before: usize,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
    /// A write that was waited for by itself, while older ones were not.
    Settled(usize, Vec<u8>),
}

#[derive(Debug, Default)]
struct Folder {
    seen: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    changes: Vec<(u64, Naming)>,
    before: usize,
}

#[derive(Debug, Clone)]
enum Naming {
    Put(String, Node),
    Take(String),
    Move(String, String),
}

/// A folder as content: paths and what the files hold; folders have none.
pub(crate) type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Disk {
    root: String,
    files: Vec<File>,
    folders: Vec<Folder>,
    open: BTreeMap<i32, Node>,
    /// By number: what is synced, and how many changes it had.
    syncs: BTreeMap<u64, (Node, usize)>,
    /// Orders names over all folders.
    names: u64,
}

impl Disk {
    /// A disk on which all that is in a folder is durable.
    #[must_use]
    pub(crate) fn with(folder: &Path) -> Self {
        let mut disk = Self {
            root: folder.display().to_string(),
            files: Vec::new(),
            folders: vec![Folder::default()],
            open: BTreeMap::new(),
            syncs: BTreeMap::new(),
            names: 0,
        };
        for (path, content) in read(folder) {
            let (parent, name) = disk.parent(&path);
            let node = match content {
                Some(bytes) => {
                    let file = File {
                        seen: bytes.clone(),
                        durable: bytes,
                        ..File::default()
                    };
                    disk.files.push(file);
                    Node::File(disk.files.len() - 1)
                }
                None => disk.new_folder(),
            };
            disk.folders[parent].seen.insert(name.clone(), node);
            disk.folders[parent].durable.insert(name, node);
        }
        disk
    }

    /// Follows what a program did, from its start on.
    pub(crate) fn follow(&mut self, records: &[Record]) {
        self.open.clear();
        self.syncs.clear();
        for record in records {
            self.apply(record);
        }
    }

    /// Follows what a program did until it was killed. What it was doing at that moment may be
    /// done and not written down, or the other way round: `folder` tells.
    pub(crate) fn follow_killed(&mut self, records: &[Record], folder: &Path) {
        self.follow(records);
        if let Some(Record {
            fd,
            action: Action::Write { at, .. },
        }) = records.last()
            && let Some(Node::File(file)) = self.open.get(fd)
        {
            let file = *file;
            let there = self
                .show_file(file)
                .and_then(|path| fs::read(folder.join(path)).ok());
            if let Some(there) = there {
                self.files[file].correct(*at, there);
            }
        }
        self.finish(&read(folder));
        self.agrees_with(folder);
    }

    /// Does what was done last and not written down, which is one operation on names or lengths.
    fn finish(&mut self, there: &Tree) {
        let seen = self.seen();
        let gone = seen.keys().find(|path| !there.contains_key(*path));
        let new = there.keys().find(|path| !seen.contains_key(*path));
        let other = seen
            .iter()
            .find(|(path, content)| there.get(*path).is_some_and(|there| there != *content));
        match (gone, new, other) {
            (Some(from), Some(to), _) => self.moved(from, to),
            (Some(from), None, Some((to, _))) => self.moved(from, to),
            (Some(gone), None, None) => {
                let (folder, name) = self.parent(gone);
                self.name(folder, Naming::Take(name));
            }
            (None, Some(new), _) => {
                let node = match &there[new] {
                    Some(_) => {
                        self.files.push(File::default());
                        Node::File(self.files.len() - 1)
                    }
                    None => self.new_folder(),
                };
                let (folder, name) = self.parent(new);
                self.name(folder, Naming::Put(name, node));
            }
            (None, None, Some((path, _))) => {
                let (folder, name) = self.parent(path);
                if let (Node::File(file), Some(bytes)) =
                    (self.folders[folder].seen[&name], &there[path])
                {
                    self.files[file].change(Change::Length(bytes.len()));
                }
            }
            (None, None, None) => {}
        }
    }

    fn moved(&mut self, from: &str, to: &str) {
        let ((folder, from), (_, to)) = (self.parent(from), self.parent(to));
        self.name(folder, Naming::Move(from, to));
    }

    /// Whether programs see in `folder` what the model says: no operation was overlooked.
    pub(crate) fn agrees_with(&self, folder: &Path) {
        let (seen, there) = (self.seen(), read(folder));
        let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&seen), names(&there), "the model missed a name");
        for (path, content) in &seen {
            assert!(
                there[path] == *content,
                "the model missed a write to {path}"
            );
        }
    }

    fn show_file(&self, file: usize) -> Option<String> {
        let mut found = None;
        let mut queue = vec![(0, String::new())];
        while let Some((folder, path)) = queue.pop() {
            for (name, node) in &self.folders[folder].seen {
                match node {
                    Node::File(other) if *other == file => found = Some(format!("{path}{name}")),
                    Node::File(_) => {}
                    Node::Folder(below) => queue.push((*below, format!("{path}{name}/"))),
                }
            }
        }
        found
    }

    fn apply(&mut self, record: &Record) {
        let Record { fd, action } = record;
        match action {
            Action::Open {
                path,
                created,
                emptied,
            } => self.opened(*fd, path, *created, *emptied),
            Action::Write { at, bytes } => {
                if let Some(file) = self.file(*fd) {
                    file.change(Change::Write(*at, bytes.clone()));
                }
            }
            Action::Settled => {
                if let Some(file) = self.file(*fd) {
                    file.settle();
                }
            }
            Action::Truncate { length } => {
                if let Some(file) = self.file(*fd) {
                    file.change(Change::Length(*length));
                }
            }
            Action::SyncBegin { number } => {
                let node = self.open[fd];
                let changes = match node {
                    Node::File(file) => self.files[file].before + self.files[file].changes.len(),
                    Node::Folder(folder) => {
                        self.folders[folder].before + self.folders[folder].changes.len()
                    }
                };
                self.syncs.insert(*number, (node, changes));
            }
            Action::SyncEnd { number } => match self.syncs.remove(number).expect("it began") {
                (Node::File(file), until) => self.files[file].sync(until),
                (Node::Folder(folder), until) => self.folders[folder].sync(until),
            },
            Action::Rename { from, to } => {
                let ((parent, from), (other, to)) = (self.below(from), self.below(to));
                assert_eq!(parent, other, "renamed into another folder");
                self.name(parent, Naming::Move(from, to));
            }
            Action::Remove { path } => {
                let (parent, name) = self.below(path);
                self.name(parent, Naming::Take(name));
            }
            Action::MakeFolder { path } => {
                let (parent, name) = self.below(path);
                let node = self.new_folder();
                self.name(parent, Naming::Put(name, node));
            }
            Action::Close => {
                self.open.remove(fd);
            }
            Action::Copy { copy } => {
                let node = self.open[fd];
                self.open.insert(*copy, node);
            }
            Action::Unknown { what } => panic!("the model of the disk does not know: {what}"),
        }
    }

    fn opened(&mut self, fd: i32, path: &str, created: bool, emptied: bool) {
        if path.trim_end_matches('/') == self.root {
            self.open.insert(fd, Node::Folder(0));
            return;
        }
        let (parent, name) = self.below(path);
        if created {
            self.files.push(File::default());
            let node = Node::File(self.files.len() - 1);
            self.name(parent, Naming::Put(name.clone(), node));
        }
        let node = self.folders[parent].seen[&name];
        if let Node::File(file) = node
            && emptied
            && !created
        {
            self.files[file].change(Change::Length(0));
        }
        self.open.insert(fd, node);
    }

    fn file(&mut self, fd: i32) -> Option<&mut File> {
        match self.open[&fd] {
            Node::File(file) => Some(&mut self.files[file]),
            Node::Folder(_) => None,
        }
    }

    fn new_folder(&mut self) -> Node {
        self.folders.push(Folder::default());
        Node::Folder(self.folders.len() - 1)
    }

    fn name(&mut self, folder: usize, naming: Naming) {
        self.names += 1;
        let folder = &mut self.folders[folder];
        assert!(naming.apply(&mut folder.seen), "{naming:?}");
        folder.changes.push((self.names, naming));
    }

    /// Folder and name of an absolute path.
    fn below(&self, path: &str) -> (usize, String) {
        let path = path.strip_prefix(&self.root).expect("a path below");
        self.parent(path.trim_start_matches('/'))
    }

    fn parent(&self, path: &str) -> (usize, String) {
        let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let last = names.pop().expect("not the root itself");
        let parent = names.iter().fold(0, |folder, name| {
            match self.folders[folder].seen.get(*name) {
                Some(Node::Folder(folder)) => *folder,
                other => panic!("{path}: {other:?}"),
            }
        });
        (parent, last.to_owned())
    }

    /// What programs see while there is power.
    pub(crate) fn seen(&self) -> Tree {
        let mut tree = Tree::new();
        self.show(
            0,
            "",
            &|folder| folder.seen.clone(),
            &mut tree,
            &mut |file| file.seen.clone(),
        );
        tree
    }

    /// What is there when the power has gone and come back.
    pub(crate) fn cut(&self, data: Left, names: Left, dice: &mut Dice) -> Tree {
        let mut tree = Tree::new();
        // File systems with a journal keep names in the order of all; others promise nothing.
        let until = match names {
            Left::Beginning => dice.roll() % (self.names + 1),
            _ => u64::MAX,
        };
        let mut name_dice = Dice(dice.roll());
        let kept = std::cell::RefCell::new(&mut name_dice);
        let durable = |folder: &Folder| folder.left(names, until, &mut kept.borrow_mut());
        self.show(0, "", &durable, &mut tree, &mut |file| {
            file.left(data, dice)
        });
        tree
    }

    fn show(
        &self,
        folder: usize,
        path: &str,
        entries: &dyn Fn(&Folder) -> BTreeMap<String, Node>,
        tree: &mut Tree,
        content: &mut dyn FnMut(&File) -> Vec<u8>,
    ) {
        for (name, node) in entries(&self.folders[folder]) {
            let path = format!("{path}{name}");
            match node {
                Node::File(file) => {
                    tree.insert(path, Some(content(&self.files[file])));
                }
                Node::Folder(folder) => {
                    tree.insert(path.clone(), None);
                    self.show(folder, &format!("{path}/"), entries, tree, content);
                }
            }
        }
    }
}

impl Naming {
    /// Whether it could be done.
    fn apply(&self, entries: &mut BTreeMap<String, Node>) -> bool {
        match self {
            Self::Put(name, node) => {
                entries.insert(name.clone(), *node);
                true
            }
            Self::Take(name) => entries.remove(name).is_some(),
            Self::Move(from, to) => match entries.remove(from) {
                Some(node) => {
                    entries.insert(to.clone(), node);
                    true
                }
                None => false,
            },
        }
    }
}

impl Folder {
    fn sync(&mut self, until: usize) {
        let count = until.saturating_sub(self.before);
        for (_, change) in self.changes.drain(..count) {
            change.apply(&mut self.durable);
        }
        self.before += count;
    }

    fn left(&self, left: Left, until: u64, dice: &mut Dice) -> BTreeMap<String, Node> {
        let mut entries = self.durable.clone();
        for (number, change) in &self.changes {
            let stays = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::Beginning => *number <= until,
                Left::Some(percent) => dice.percent(percent),
            };
            if stays {
                // What another one that is lost would have had to come before is lost, too.
                change.apply(&mut entries);
            }
        }
        entries
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    /// The last write, at `at`, came as far as `there` says.
    fn correct(&mut self, at: usize, there: Vec<u8>) {
        if self.seen != there && self.changes.pop().is_some() {
            let written = there.get(at..).unwrap_or_default();
            let end = written.len().min(self.seen.len().saturating_sub(at));
            self.changes
                .push(Change::Write(at, written[..end].to_vec()));
            self.seen = there;
        }
    }

    /// What was written last is on disk.
    fn settle(&mut self) {
        if let Some(Change::Write(at, written)) = self.changes.pop() {
            self.changes.push(Change::Settled(at, written));
        }
    }

    fn sync(&mut self, until: usize) {
        let count = until.saturating_sub(self.before);
        for change in self.changes.drain(..count) {
            change.apply(&mut self.durable);
        }
        self.before += count;
    }

    /// How long it is at least: what is on disk, and what was settled since.
    fn least(&self) -> usize {
        let ends = self.changes.iter().map(|change| match change {
            Change::Settled(at, written) => at + written.len(),
            Change::Write(..) | Change::Length(_) => 0,
        });
        ends.fold(self.durable.len(), usize::max)
    }

    fn left(&self, left: Left, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let end = match left {
            Left::Beginning => dice.up_to(self.changes.len()),
            _ => self.changes.len(),
        };
        for (index, change) in self.changes.iter().enumerate() {
            let percent = match left {
                Left::Nothing => 0,
                Left::Everything => 100,
                Left::Beginning if index < end => 100,
                Left::Beginning if index == end => 50,
                Left::Beginning => 0,
                Left::Some(percent) => percent,
            };
            change.apply_partly(&mut bytes, percent, dice);
        }
        // The length is written on its own, sooner or later than the data.
        let settled = |change: &Change| matches!(change, Change::Settled(..));
        if !self.changes.iter().all(settled) && matches!(left, Left::Beginning | Left::Some(_)) {
            match dice.up_to(7) {
                0 => bytes.truncate(self.least()),
                1 => bytes.resize(bytes.len().max(self.seen.len()), 0),
                _ => {}
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, written) | Self::Settled(at, written) => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(written);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// Each sector of a write with that probability.
    fn apply_partly(&self, bytes: &mut Vec<u8>, percent: u64, dice: &mut Dice) {
        match self {
            Self::Write(at, written) if percent < 100 => {
                let mut begin = 0;
                while begin < written.len() {
                    let room = SECTOR - (at + begin) % SECTOR;
                    let end = (begin + room).min(written.len());
                    if dice.percent(percent) {
                        Self::Write(at + begin, written[begin..end].to_vec()).apply(bytes);
                    }
                    begin = end;
                }
            }
            Self::Length(_) if !dice.percent(percent) => {}
            whole => whole.apply(bytes),
        }
    }
}

/// What is in a folder.
pub(crate) fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    collect(folder, "", &mut tree);
    tree
}

fn collect(folder: &Path, path: &str, tree: &mut Tree) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{path}{}", entry.file_name().to_str().expect("text"));
        if entry.file_type().expect("a type").is_dir() {
            tree.insert(name.clone(), None);
            collect(&entry.path(), &format!("{name}/"), tree);
        } else if entry.file_name() != "lock.mdb" {
            // Left out by the layer, too: memory that processes share.
            tree.insert(name, Some(fs::read(entry.path()).expect("readable")));
        }
    }
}

/// Puts a tree in the place of what is in a folder.
pub(crate) fn write(folder: &Path, tree: &Tree) {
    fs::remove_dir_all(folder).expect("removed");
    fs::create_dir(folder).expect("created");
    // A folder comes before what is in it.
    for (path, content) in tree {
        let path = folder.join(path);
        match content {
            Some(bytes) => fs::write(path, bytes).expect("written"),
            None => fs::create_dir(path).expect("created"),
        }
    }
}
