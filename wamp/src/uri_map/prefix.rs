//! A radix trie of prefixes: one walk down the URI meets all of its prefixes. Used by `uri_map.rs`.

/// Values by prefix.
#[derive(Debug, Clone)]
pub(super) struct PrefixTrie<T> {
    root: Node<T>,
    len: usize,
}

/// `label` is what this node adds to its parent's text; empty only at the root.
/// Children are sorted by the first byte of their labels, which are all different.
#[derive(Debug, Clone)]
struct Node<T> {
    label: Box<[u8]>,
    entry: Option<(Box<str>, T)>,
    children: Vec<Node<T>>,
}

impl<T> Default for PrefixTrie<T> {
    fn default() -> Self {
        Self {
            root: Node::new(&[]),
            len: 0,
        }
    }
}

impl<T> PrefixTrie<T> {
    pub(super) fn insert(&mut self, pattern: &str, value: T) -> Option<T> {
        let before = self
            .root
            .insert(pattern.as_bytes(), (pattern.into(), value));
        self.len += usize::from(before.is_none());
        before.map(|(_, value)| value)
    }

    pub(super) fn get(&self, pattern: &str) -> Option<&T> {
        let mut node = &self.root;
        let mut rest = pattern.as_bytes();
        while !rest.is_empty() {
            node = node.child(rest)?;
            rest = rest.strip_prefix(&*node.label)?;
        }
        node.entry.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, pattern: &str) -> Option<&mut T> {
        let mut node = &mut self.root;
        let mut rest = pattern.as_bytes();
        while !rest.is_empty() {
            let at = node.position(*rest.first()?).ok()?;
            node = node.children.get_mut(at)?;
            rest = rest.strip_prefix(&*node.label)?;
        }
        node.entry.as_mut().map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, pattern: &str) -> Option<T> {
        let removed = self.root.remove(pattern.as_bytes())?;
        self.len -= 1;
        Some(removed)
    }

    /// Visits the entries that `uri` begins with, shortest first; returns how many nodes it met.
    pub(super) fn for_each_match<'a>(
        &'a self,
        uri: &str,
        visit: &mut impl FnMut(&'a str, &'a T),
    ) -> usize {
        let mut node = &self.root;
        let mut rest = uri.as_bytes();
        let mut met = 1;
        loop {
            if let Some((pattern, value)) = &node.entry {
                visit(pattern, value);
            }
            let Some(child) = node.child(rest) else {
                return met;
            };
            met += 1;
            let Some(after) = rest.strip_prefix(&*child.label) else {
                return met;
            };
            (node, rest) = (child, after);
        }
    }

    pub(super) fn for_each<'a>(&'a self, visit: &mut impl FnMut(&'a str, &'a T)) {
        let mut waiting = vec![&self.root];
        while let Some(node) = waiting.pop() {
            if let Some((pattern, value)) = &node.entry {
                visit(pattern, value);
            }
            waiting.extend(&node.children);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<T> Node<T> {
    fn new(label: &[u8]) -> Self {
        Self {
            label: label.into(),
            entry: None,
            children: Vec::new(),
        }
    }

    /// The child whose label begins as `rest` does.
    fn child(&self, rest: &[u8]) -> Option<&Self> {
        self.children.get(self.position(*rest.first()?).ok()?)
    }

    fn position(&self, first: u8) -> Result<usize, usize> {
        self.children
            .binary_search_by_key(&Some(first), |child| child.label.first().copied())
    }

    fn insert(&mut self, rest: &[u8], entry: (Box<str>, T)) -> Option<(Box<str>, T)> {
        let Some(&first) = rest.first() else {
            return self.entry.replace(entry);
        };
        let at = match self.position(first) {
            Ok(at) => at,
            Err(at) => {
                self.children.insert(at, Self::new(rest));
                at
            }
        };
        let child = self.children.get_mut(at)?;
        let shared = child
            .label
            .iter()
            .zip(rest)
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        child.split(shared);
        child.insert(rest.get(shared..).unwrap_or_default(), entry)
    }

    /// Cuts the label at `at` bytes; what follows becomes the only child.
    fn split(&mut self, at: usize) {
        let Some((head, tail)) = self.label.split_at_checked(at) else {
            return;
        };
        if tail.is_empty() {
            return;
        }
        let (head, mut lower) = (head.into(), Self::new(tail));
        lower.entry = self.entry.take();
        lower.children = std::mem::take(&mut self.children);
        self.label = head;
        self.children.push(lower);
    }

    fn remove(&mut self, rest: &[u8]) -> Option<T> {
        let Some(&first) = rest.first() else {
            return self.entry.take().map(|(_, value)| value);
        };
        let at = self.position(first).ok()?;
        let child = self.children.get_mut(at)?;
        let removed = child.remove(rest.strip_prefix(&*child.label)?)?;
        if child.entry.is_none() {
            match child.children.len() {
                0 => drop(self.children.remove(at)),
                1 => child.merge(),
                _ => {}
            }
        }
        Some(removed)
    }

    /// Undoes a `split`: takes in the only child.
    fn merge(&mut self) {
        let Some(lower) = self.children.pop() else {
            return;
        };
        self.label = [&*self.label, &*lower.label].concat().into();
        self.entry = lower.entry;
        self.children = lower.children;
    }
}
