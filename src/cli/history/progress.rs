//! How far long work is, where somebody looks on: on standard error, if that is a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn, in events: asking what time it is for each would be felt.
const STEP: u64 = 1_024;

/// See the head of this file.
pub(super) struct Progress {
    bar: ProgressBar,
    events: u64,
}

impl Progress {
    /// Of about `total` events, if that is known.
    pub(super) fn begin(what: &'static str, total: Option<u64>) -> Self {
        Self::counting(what, "events", total)
    }

    /// The same of rows of a store.
    pub(super) fn of_rows(what: &'static str, total: u64) -> Self {
        Self::counting(what, "rows", Some(total))
    }

    fn counting(what: &'static str, unit: &str, total: Option<u64>) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let shape = match total {
            Some(_) => format!(
                "{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit}, {{per_sec}}, {{eta}}"
            ),
            None => format!("{{msg}} {{spinner}} {{human_pos}} {unit}, {{per_sec}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&shape) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self { bar, events: 0 }
    }

    /// One more event is done.
    pub(super) fn event(&mut self) {
        self.events += 1;
        if self.events.is_multiple_of(STEP) {
            self.bar.set_position(self.events);
        }
    }

    /// How many are done.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
