//! What the table allows, in words: for findings and for the documentation.

use std::fmt::Write as _;

use super::keys::{Kind, Tagged, Text};

/// What a kind allows.
pub fn allowed(kind: &Kind) -> String {
    match kind {
        Kind::Bool => String::from("true or false"),
        Kind::Integer {
            min,
            max,
            unit,
            hint,
        } => integer(*min, *max, unit, hint),
        Kind::Age => String::from(super::age::ALLOWED),
        Kind::Numbers(numbers) => numbers
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(" or "),
        Kind::Text(text) => String::from(match text {
            Text::Any => "text",
            Text::Some => "text of at least one character",
            Text::Id => {
                "text of 3 to 64 lower-case letters, digits and `_` that begins with a letter"
            }
        }),
        Kind::Choice(choice) => words(choice.iter().copied()),
        Kind::Port => String::from("an integer from 1 to 65535, or \"$NAME\" of the environment"),
        Kind::Secrets => String::from(
            "text, \"${NAME}\" of the environment, {\"file\": \"…\"}, or a list of two of them",
        ),
        Kind::Object(_) | Kind::Map(..) => String::from("an object"),
        Kind::Tagged(tagged) => object_by_type(tagged),
        Kind::List(_) => String::from("a list"),
        Kind::OrNull(kind) => format!("{}, or null", allowed(kind)),
        Kind::Opaque => String::from("anything"),
    }
}

/// `a`, `b` or `c`, each in backquotes.
pub(super) fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::from("nothing"),
    }
}

fn integer(min: u64, max: u64, unit: &str, hint: &str) -> String {
    let mut text = match max {
        u64::MAX => format!("an integer from {min}"),
        max => format!("an integer from {min} to {max}"),
    };
    if !unit.is_empty() {
        let _ = write!(text, " ({unit})");
    }
    if !hint.is_empty() {
        let _ = write!(text, "; {hint}");
    }
    text
}

fn object_by_type(tagged: &Tagged) -> String {
    let mut text = format!(
        "an object with `type` {}",
        words(tagged.tags.iter().map(|tag| tag.name))
    );
    if !tagged.hint.is_empty() {
        let _ = write!(text, "; {}", tagged.hint);
    }
    text
}
