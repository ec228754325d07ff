//! A trie of components, in which an empty one stands for any. Used by `uri_map.rs`.

use std::collections::HashMap;

/// Values by wildcard pattern.
#[derive(Debug, Clone)]
pub(super) struct WildcardTrie<T> {
    root: Node<T>,
    len: usize,
}

/// A node is reached by one component: a literal one, or any.
#[derive(Debug, Clone)]
struct Node<T> {
    entry: Option<(Box<str>, T)>,
    literal: HashMap<Box<str>, Node<T>, foldhash::quality::RandomState>,
    any: Option<Box<Node<T>>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            entry: None,
            literal: HashMap::default(),
            any: None,
        }
    }
}

impl<T> Default for WildcardTrie<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
            len: 0,
        }
    }
}

impl<T> WildcardTrie<T> {
    pub(super) fn insert(&mut self, pattern: &str, value: T) -> Option<T> {
        let mut node = &mut self.root;
        for component in pattern.split('.') {
            node = if component.is_empty() {
                node.any.get_or_insert_default()
            } else {
                node.literal.entry(component.into()).or_default()
            };
        }
        let before = node.entry.replace((pattern.into(), value));
        self.len += usize::from(before.is_none());
        before.map(|(_, value)| value)
    }

    pub(super) fn get(&self, pattern: &str) -> Option<&T> {
        let mut node = &self.root;
        for component in pattern.split('.') {
            node = match component {
                "" => node.any.as_deref()?,
                literal => node.literal.get(literal)?,
            };
        }
        node.entry.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, pattern: &str) -> Option<&mut T> {
        let mut node = &mut self.root;
        for component in pattern.split('.') {
            node = match component {
                "" => node.any.as_deref_mut()?,
                literal => node.literal.get_mut(literal)?,
            };
        }
        node.entry.as_mut().map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, pattern: &str) -> Option<T> {
        let removed = self.root.remove(Some(pattern))?;
        self.len -= 1;
        Some(removed)
    }

    /// Visits the entries that stand for `uri`; returns how many nodes it met.
    pub(super) fn for_each_match<'a>(
        &'a self,
        uri: &str,
        visit: &mut impl FnMut(&'a str, &'a T),
    ) -> usize {
        if self.len == 0 {
            return 0;
        }
        self.root.for_each_match(Some(uri), visit)
    }

    pub(super) fn for_each<'a>(&'a self, visit: &mut impl FnMut(&'a str, &'a T)) {
        let mut waiting = vec![&self.root];
        while let Some(node) = waiting.pop() {
            if let Some((pattern, value)) = &node.entry {
                visit(pattern, value);
            }
            waiting.extend(node.literal.values());
            waiting.extend(node.any.as_deref());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<T> Node<T> {
    /// `rest` is what follows this node's component; `None` at the end of the URI.
    fn for_each_match<'a>(
        &'a self,
        rest: Option<&str>,
        visit: &mut impl FnMut(&'a str, &'a T),
    ) -> usize {
        let Some(rest) = rest else {
            if let Some((pattern, value)) = &self.entry {
                visit(pattern, value);
            }
            return 1;
        };
        let (component, rest) = first_component(rest);
        if component.is_empty() {
            return 1;
        }
        let mut met = 1;
        if let Some(literal) = self.literal.get(component) {
            met += literal.for_each_match(rest, visit);
        }
        if let Some(any) = &self.any {
            met += any.for_each_match(rest, visit);
        }
        met
    }

    /// Removes the entry and, on the way back, the nodes that lead nowhere any more.
    fn remove(&mut self, rest: Option<&str>) -> Option<T> {
        let Some(rest) = rest else {
            return self.entry.take().map(|(_, value)| value);
        };
        let (component, rest) = first_component(rest);
        if component.is_empty() {
            let any = self.any.as_deref_mut()?;
            let removed = any.remove(rest)?;
            if any.is_bare() {
                self.any = None;
            }
            return Some(removed);
        }
        let literal = self.literal.get_mut(component)?;
        let removed = literal.remove(rest)?;
        if literal.is_bare() {
            self.literal.remove(component);
        }
        Some(removed)
    }

    fn is_bare(&self) -> bool {
        self.entry.is_none() && self.literal.is_empty() && self.any.is_none()
    }
}

fn first_component(uri: &str) -> (&str, Option<&str>) {
    match uri.split_once('.') {
        Some((component, rest)) => (component, Some(rest)),
        None => (uri, None),
    }
}
