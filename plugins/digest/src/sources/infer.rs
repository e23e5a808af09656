//! What a field of CSV means when types are inferred.

use crate::number::Number;
use crate::value::Value;

/// Empty is null, `true` and `false` are booleans, a JSON number is a number; all else is text. So are numbers with
/// leading zeros or a plus sign (they are codes: `007`, `+49…`) and whole ones that 64 bits cannot hold (a float would
/// change an id).
pub(super) fn infer(text: &str) -> Value {
    match text {
        "" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::text(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let bytes = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    if whole == 0 || (whole > 1 && bytes[0] == b'0') {
        return None;
    }
    if whole == bytes.len() {
        return text.parse().map(Number::Int).or_else(|_| text.parse().map(Number::Big)).ok();
    }
    let mut at = whole;
    if bytes[at] == b'.' {
        let count = digits(at + 1);
        if count == 0 {
            return None;
        }
        at += 1 + count;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        let count = digits(at);
        if count == 0 {
            return None;
        }
        at += count;
    }
    if at != bytes.len() {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_mean_what_json_would_mean_and_codes_stay_text() {
        let cases = [
            ("", "null"),
            ("true", "true"),
            ("True", r#""True""#),
            ("12", "12"),
            ("-0", "0"),
            ("-12", "-12"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", r#""18446744073709551616""#),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("1e999", r#""1e999""#),
            ("007", r#""007""#),
            ("0", "0"),
            ("0.5", "0.5"),
            (".5", r#"".5""#),
            ("1.", r#""1.""#),
            ("+1", r#""+1""#),
            ("1e", r#""1e""#),
            ("1,5", r#""1,5""#),
            ("--1", r#""--1""#),
            ("-", r#""-""#),
            ("NaN", r#""NaN""#),
            (" 1", r#"" 1""#),
        ];
        for (text, expected) in cases {
            assert_eq!(serde_json::to_string(&infer(text)).unwrap(), expected, "{text:?}");
        }
    }
}
