//! The file of results has two authors, the comparison and the storage benchmark: each writes its
//! own section and leaves the other's as it is.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Heading of the comparison, which comes first.
pub(crate) const COMPARISON: &str = "# Results";
/// Heading of the storage benchmark, which goes to the end of the file.
pub(crate) const STORAGE: &str = "# Storage";

/// Writes `section`, which begins with `heading`, in the place of the one in `file` with that
/// heading. The file is made where it is missing.
pub(crate) fn replace(file: &Path, heading: &str, section: &str) -> io::Result<()> {
    let old = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text?,
    };
    fs::write(file, replaced(&old, heading, section))
}

fn replaced(old: &str, heading: &str, section: &str) -> String {
    let (comparison, storage) = halves(old);
    let (comparison, storage) = match heading == STORAGE {
        true => (comparison, section),
        false => (section, storage),
    };
    let halves = [comparison, storage].map(str::trim_end);
    let halves = halves.into_iter().filter(|half| !half.is_empty());
    halves.collect::<Vec<_>>().join("\n\n") + "\n"
}

/// What comes before the storage section, and that section.
fn halves(text: &str) -> (&str, &str) {
    let is_heading = |at: &usize| {
        let begins = *at == 0 || text.get(..*at).is_some_and(|before| before.ends_with('\n'));
        let rest = text.get(at + STORAGE.len()..).unwrap_or_default();
        begins && (rest.is_empty() || rest.starts_with('\n'))
    };
    let heading = text
        .match_indices(STORAGE)
        .map(|(at, _)| at)
        .find(is_heading);
    text.split_at_checked(heading.unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_author_replaces_its_own_section() {
        let both = "# Results\n\nold\n\n## Bars of # Storage\n\n# Storage\n\nkept\n";
        let compared = replaced(both, COMPARISON, "# Results\n\nnew\n");
        assert_eq!(compared, "# Results\n\nnew\n\n# Storage\n\nkept\n");
        let stored = replaced(&compared, STORAGE, "# Storage\n\nnewer\n\n## Bars\n");
        assert_eq!(
            stored,
            "# Results\n\nnew\n\n# Storage\n\nnewer\n\n## Bars\n"
        );
    }

    #[test]
    fn the_first_author_begins_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.md");
        replace(&file, STORAGE, "# Storage\n\none\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "# Storage\n\none\n");
        replace(&file, COMPARISON, "# Results\n\ntwo\n").unwrap();
        let both = "# Results\n\ntwo\n\n# Storage\n\none\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), both);
    }
}
