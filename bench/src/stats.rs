//! Medians, ranges and percentiles, and how numbers are shown.

/// Median, smallest and largest of some runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Middle value; mean of the two middle ones where their number is even.
    pub(crate) median: f64,
    /// Smallest value.
    pub(crate) min: f64,
    /// Largest value.
    pub(crate) max: f64,
    /// Number of values.
    pub(crate) runs: usize,
}

impl Spread {
    /// `None` without any value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let runs = values.len();
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = *values.get(runs / 2)?;
        let lower = *values.get((runs - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            min,
            max,
            runs,
        })
    }

    /// The median with `unit`, and of several values the ends.
    pub(crate) fn shown(self, unit: &str) -> String {
        let median = figure(self.median);
        if self.runs == 1 {
            return median + unit;
        }
        format!("{median}{unit} ({}–{})", figure(self.min), figure(self.max))
    }
}

/// Three significant figures, with k and M.
pub(crate) fn figure(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{unit}")
}

/// The value below which `share` (0–1) of `sorted` lie; `None` when it is empty.
pub(crate) fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_ends() {
        let check = |values: &[f64], median, min, max| {
            let runs = values.len();
            assert_eq!(
                Spread::of(values.iter().copied()),
                Some(Spread {
                    median,
                    min,
                    max,
                    runs
                })
            );
        };
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[5.0, 1.0, 3.0], 3.0, 1.0, 5.0);
        check(&[4.0, 1.0, 2.0, 8.0], 3.0, 1.0, 8.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn figures_have_three_places() {
        let check = |value, text: &str| assert_eq!(figure(value), text);
        check(0.5, "0.50");
        check(12.34, "12.3");
        check(1234.0, "1234");
        check(56_789.0, "56.8k");
        check(1_234_567.0, "1.23M");
        check(0.0, "0.00");
        assert_eq!(
            Spread::of([2.0]).map(|one| one.shown("x")).unwrap(),
            "2.00x"
        );
        let several = Spread::of([2.0, 1.0, 4.0]).map(|one| one.shown("x"));
        assert_eq!(several.unwrap(), "2.00x (1.00–4.00)");
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 0.5), Some(50));
        assert_eq!(percentile(&hundred, 0.99), Some(99));
        assert_eq!(percentile(&hundred, 1.0), Some(100));
        assert_eq!(percentile(&[7], 0.5), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
