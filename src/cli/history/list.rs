//! `rewamp history ls`: what stores hold.

use std::path::Path;

use clap::Args;
use indicatif::BinaryBytes;
use rewamp_archive::time_text;
use rewamp_history::{EventStore, Filter, Info, Lost, Scope, Viewer};
use serde_json::{Value, json};

use super::which::{Opened, Which, each, open_to_read};
use super::{Failure, Outcome, failed};
use crate::cli::Console;

/// Say what stores hold.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// One JSON object a store
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let folders = self.which.folders(console)?;
        each(&folders, console, |folder, console| {
            let opened = open_to_read(folder)?;
            match self.json {
                true => writeln!(console.out, "{}", object(folder, &opened)?)?,
                false => print(folder, &opened, console)?,
            }
            Ok(0)
        })
    }
}

/// One filter's history, whoever may see it.
fn info(store: &dyn EventStore, filter: &Filter) -> Result<Option<Info>, Failure> {
    let Some(id) = store.readable(&filter.uri, filter.match_policy) else {
        return Ok(None);
    };
    let scope = Scope {
        uri: filter.uri.clone(),
        match_policy: filter.match_policy,
        filter: id,
    };
    store
        .info(&scope, &Viewer::Operator, &[])
        .map(Some)
        .map_err(failed)
}

fn object(folder: &Path, opened: &Opened) -> Result<Value, Failure> {
    let Opened { found, store } = opened;
    let mut filters = Vec::new();
    for (number, filter) in found.filters.iter().enumerate() {
        let info = info(&**store, filter)?;
        let span = info.map(|info| info.span);
        let time = |position: Option<rewamp_history::Position>| {
            position.map(|position| time_text(position.time))
        };
        filters.push(json!({
            "uri": &*filter.uri,
            "match": filter.match_policy.name(),
            "configured": number < found.configured,
            "limit": filter.limit,
            "limit-per-topic": filter.limit_per_topic,
            "max-age": filter.max_age.map(|age| age.as_secs_f64()),
            "subscription": store.subscription_id(&filter.uri, filter.match_policy).get(),
            "events": info.map_or(0, |info| info.events),
            "bytes": info.map_or(0, |info| info.bytes),
            "oldest": span.and_then(|span| time(span.oldest)),
            "newest": span.and_then(|span| time(span.newest)),
        }));
    }
    let usage = store.usage();
    let lost = store
        .lost()
        .into_iter()
        .map(|Lost { from, to, why }| json!({"from": from.get(), "to": to.get(), "why": why}));
    Ok(json!({
        "realm": found.realm,
        "path": folder.display().to_string(),
        "type": found.engine.name(),
        "incarnation": found.incarnation.to_string(),
        "events": usage.events,
        "bytes": usage.bytes,
        "next_sequence": store.opened().next_sequence.get(),
        "filters": filters,
        "lost": lost.collect::<Vec<_>>(),
    }))
}

fn print(folder: &Path, opened: &Opened, console: &mut Console<'_>) -> Result<(), Failure> {
    let Opened { found, store } = opened;
    let usage = store.usage();
    let out = &mut *console.out;
    writeln!(
        out,
        "realm {}: {} events, {}, {} store {}, incarnation {}",
        found.realm,
        usage.events,
        BinaryBytes(usage.bytes),
        found.engine.name(),
        folder.display(),
        found.incarnation
    )?;
    for (number, filter) in found.filters.iter().enumerate() {
        let Some(info) = info(&**store, filter)? else {
            continue;
        };
        let span = match (info.span.oldest, info.span.newest) {
            (Some(oldest), Some(newest)) => {
                format!(", {} to {}", time_text(oldest.time), time_text(newest.time))
            }
            _ => String::new(),
        };
        writeln!(
            out,
            "  {} `{}`: {} events, {}{span}{}{}",
            filter.match_policy.name(),
            filter.uri,
            info.events,
            BinaryBytes(info.bytes),
            bounds(filter),
            match number < found.configured {
                true => "",
                false => ", not configured any more",
            }
        )?;
    }
    for Lost { from, to, why } in store.lost() {
        writeln!(out, "  missing: sequences {from} to {to}: {why}")?;
    }
    Ok(())
}

fn bounds(filter: &Filter) -> String {
    let mut text = String::new();
    if let Some(limit) = filter.limit {
        text.push_str(&format!(", limit {limit}"));
    }
    if let Some(limit) = filter.limit_per_topic {
        text.push_str(&format!(", limit-per-topic {limit}"));
    }
    if let Some(age) = filter.max_age {
        text.push_str(&format!(", max-age {} s", age.as_secs_f64()));
    }
    text
}
