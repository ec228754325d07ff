//! Spans of time as they are written: seconds as a number, or text with a unit.

use std::time::Duration;

use serde_json::Value;

/// The longest span, in seconds: a hundred years of 365 days.
const LONGEST: u64 = 100 * 365 * 86_400;

/// What is allowed, in words.
pub(crate) const ALLOWED: &str = "seconds as an integer from 1, or text with a unit (`s`, `m`, `h`, `d`, `w`) \
                           such as \"30m\" or \"7d\"; at most 100 years";

/// The span that a value means, from 1 s to 100 years; `None` if it means none.
pub(crate) fn read(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => {
            let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let unit = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                "w" => 604_800,
                _ => return None,
            };
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            number
                .parse::<u64>()
                .ok()
                .filter(|_| digits)?
                .checked_mul(unit)?
        }
        _ => return None,
    };
    (1..=LONGEST)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_span_is_a_number_of_seconds_or_text_with_a_unit() {
        let check = |value: Value, expected: Option<u64>| {
            assert_eq!(read(&value), expected.map(Duration::from_secs), "{value}");
        };
        check(json!(1), Some(1));
        check(json!(90), Some(90));
        check(json!("90s"), Some(90));
        check(json!("30m"), Some(1_800));
        check(json!("12h"), Some(43_200));
        check(json!("7d"), Some(604_800));
        check(json!("2w"), Some(1_209_600));
        check(json!("36500d"), Some(LONGEST));
        check(json!(LONGEST), Some(LONGEST));
        for none in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!(null),
            json!(true),
            json!(LONGEST + 1),
            json!(""),
            json!("d"),
            json!("7"),
            json!("0d"),
            json!("7 d"),
            json!("+7d"),
            json!("-7d"),
            json!("1.5h"),
            json!("7D"),
            json!("7dd"),
            json!("36501d"),
            json!("99999999999999999999d"),
            json!("9999999999999999999w"),
            json!("7é"),
            json!(["7d"]),
        ] {
            check(none, None);
        }
    }
}
