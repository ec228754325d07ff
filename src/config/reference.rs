//! `docs/configuration.md`: an introduction and the table of keys as Markdown. Printed by
//! `rewamp config --reference`; a test compares it with the file.

use std::fmt::Write as _;

use super::allowed::allowed;
use super::keys::{Key, Kind, NODE, Section, Support, Tag, Tagged};

/// The whole document.
pub fn document() -> String {
    let mut document = String::from(include_str!("reference/introduction.md"));
    for section in sections() {
        write_section(section, &mut document);
    }
    document.push_str("\n## Kinds of parts\n");
    for tagged in tagged() {
        write_kinds(tagged, &mut document);
    }
    document
}

/// All sections, in the order in which one comes to them from the top.
pub fn sections() -> Vec<&'static Section> {
    let mut seen = Seen::default();
    seen.section(&NODE);
    seen.sections
}

fn tagged() -> Vec<&'static Tagged> {
    let mut seen = Seen::default();
    seen.section(&NODE);
    seen.tagged
}

#[derive(Default)]
struct Seen {
    sections: Vec<&'static Section>,
    tagged: Vec<&'static Tagged>,
}

impl Seen {
    fn section(&mut self, section: &'static Section) {
        if self
            .sections
            .iter()
            .any(|seen| std::ptr::eq(*seen, section))
        {
            return;
        }
        self.sections.push(section);
        for key in section.keys {
            self.kind(&key.kind);
        }
    }

    fn kind(&mut self, kind: &'static Kind) {
        match kind {
            Kind::Object(section) => self.section(section),
            Kind::List(kind) | Kind::Map(_, kind) | Kind::OrNull(kind) => self.kind(kind),
            Kind::Tagged(tagged)
                if !self.tagged.iter().any(|seen| std::ptr::eq(*seen, *tagged)) =>
            {
                self.tagged.push(tagged);
                for tag in built(tagged) {
                    self.section(tag.section);
                }
            }
            _ => {}
        }
    }
}

fn built(tagged: &'static Tagged) -> impl Iterator<Item = &'static Tag> {
    tagged
        .tags
        .iter()
        .filter(|tag| matches!(tag.support, Support::Built))
}

fn write_section(section: &Section, out: &mut String) {
    let at = if section.at.is_empty() {
        String::new()
    } else {
        format!("At `{}`.", section.at)
    };
    let about: Vec<&str> = [at.as_str(), section.about]
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect();
    let _ = write!(out, "\n### {}\n\n", section.title);
    if !about.is_empty() {
        let _ = write!(out, "{}\n\n", about.join(" "));
    }
    out.push_str("| key | allowed | default | |\n|---|---|---|---|\n");
    for key in section.keys {
        write_key(key, out);
    }
}

fn write_key(key: &Key, out: &mut String) {
    let default = match (key.default, key.required) {
        (Some(json), _) => format!("`{json}`"),
        (None, true) => String::from("**required**"),
        (None, false) => String::new(),
    };
    let aliases: String = key
        .aliases
        .iter()
        .map(|alias| format!(", also `{alias}`"))
        .collect();
    let _ = writeln!(
        out,
        "| `{}`{aliases} | {} | {default} | {}.{} |",
        key.name,
        shape(&key.kind),
        key.about,
        support(key.support)
    );
}

/// What is allowed, with links to what has a part of its own.
fn shape(kind: &Kind) -> String {
    match kind {
        Kind::Opaque => String::new(),
        Kind::Object(section) => format!("[{0}](#{1})", section.title, anchor(section.title)),
        Kind::Tagged(tagged) => {
            let title = type_title(tagged);
            format!("[object by `type`](#{})", anchor(&title))
        }
        Kind::List(kind) => format!("list of: {}", shape(kind)),
        Kind::Map(_, kind) => format!("object of: {}", shape(kind)),
        Kind::OrNull(kind) => format!("{}, or null", shape(kind)),
        kind => allowed(kind),
    }
}

/// The anchor that Markdown gives a heading.
fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

fn support(support: Support) -> String {
    let (effect, unless, why) = match support {
        Support::Built => return String::new(),
        Support::Inert { unless, why } => ("No effect", unless, why),
        Support::Unbuilt {
            stops: false,
            unless,
            why,
        } => ("Not built (a warning)", unless, why),
        Support::Unbuilt {
            stops: true,
            unless,
            why,
        } => ("Not built (stops the start)", unless, why),
    };
    let unless: Vec<String> = unless.iter().map(|json| format!("`{json}`")).collect();
    let except = match unless.as_slice() {
        [] => String::new(),
        some => format!(", except {}", some.join(" and ")),
    };
    format!(" *{effect}{except}: {why}.*")
}

fn type_title(tagged: &Tagged) -> String {
    format!("Kinds of {}", tagged.what)
}

fn write_kinds(tagged: &Tagged, out: &mut String) {
    let _ = write!(out, "\n### {}\n\n", type_title(tagged));
    if !tagged.hint.is_empty() {
        let _ = write!(out, "Note: {}.\n\n", tagged.hint);
    }
    out.push_str("| `type` | |\n|---|---|\n");
    for tag in tagged.tags {
        let text = match tag.support {
            Support::Built => shape(&Kind::Object(tag.section)),
            unbuilt => support(unbuilt).trim().to_owned(),
        };
        let _ = writeln!(out, "| `{}` | {text} |", tag.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == document(),
            "docs/configuration.md: run `cargo run -- config --reference > docs/configuration.md`"
        );
    }

    #[test]
    fn every_section_says_where_it_stands_and_every_key_what_it_does() {
        for section in sections() {
            assert!(!section.title.is_empty());
            for key in section.keys {
                let about = key.about;
                assert!(
                    !about.is_empty() && !about.ends_with('.'),
                    "{}.{}",
                    section.title,
                    key.name
                );
                if let Some(json) = key.default {
                    serde_json::from_str::<serde_json::Value>(json).unwrap();
                }
            }
        }
    }
}
