//! Times as people and files write them.

use rewamp_history::Timestamp;

/// Why a text is no time that an event can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time: {why}; RFC 3339 is expected, such as 2026-11-24T12:00:00Z")]
pub struct TimeError {
    text: String,
    why: String,
}

/// A time in RFC 3339, in UTC, with as many digits as it has.
pub fn time_text(time: Timestamp) -> String {
    // Every u64 of nanoseconds is before 2555, which jiff covers.
    jiff::Timestamp::from_nanosecond(i128::from(time.nanos()))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

/// The time that [`time_text`], or another program, wrote.
///
/// # Errors
/// If the text is not RFC 3339, or before 1970 or after 2554.
pub fn parse_time(text: &str) -> Result<Timestamp, TimeError> {
    let error = |why: String| TimeError {
        text: text.to_owned(),
        why,
    };
    let time: jiff::Timestamp = text.parse().map_err(|why| error(format!("{why}")))?;
    u64::try_from(time.as_nanosecond())
        .map(Timestamp::from_nanos)
        .map_err(|_| error("it is not from 1970 to 2554".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        for nanos in [0, 1, 999_999_999, 1_795_458_569_981_565_501, u64::MAX] {
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(parse_time(&time_text(time)), Ok(time));
        }
        assert_eq!(
            parse_time("2026-11-24T13:00:00+01:00"),
            parse_time("2026-11-24T12:00:00Z")
        );
        for wrong in [
            "",
            "yesterday",
            "2026-11-24",
            "1969-12-31T23:59:59Z",
            "2700-01-01T00:00:00Z",
        ] {
            let error = parse_time(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
