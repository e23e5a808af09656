//! What a value is when a column of `select` names its type: text from web pages read as a person would, by rules that
//! leave no value two meanings. What a rule does not cover is no value of that type.

use crate::input::ColumnType;
use crate::number::Number;
use crate::value::Value;

/// `value` as this type; `None` where it cannot be read so. Null stays null: nothing is there to be read.
pub(crate) fn cast(value: &Value, to: ColumnType) -> Option<Value> {
    match (to, value) {
        (_, Value::Null) => Some(Value::Null),
        (ColumnType::Number, Value::Number(_))
        | (ColumnType::Text, Value::Text(_))
        | (ColumnType::Boolean, Value::Bool(_)) => Some(value.clone()),
        (ColumnType::Number, Value::Text(text)) => number(text).map(Value::Number),
        (ColumnType::Boolean, Value::Text(text)) => boolean(text).map(Value::Bool),
        (ColumnType::Text, other) => serde_json::to_string(other).ok().map(|json| Value::Text(json.into())),
        (ColumnType::Number | ColumnType::Boolean, _) => None,
    }
}

/// What is read, by name.
pub(crate) fn noun(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Number => "number",
        ColumnType::Text => "text",
        ColumnType::Boolean => "boolean",
    }
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("yes") {
        Some(true)
    } else if is("false") || is("no") {
        Some(false)
    } else {
        None
    }
}

/// A number in text: space around it, one sign, and one currency or percent sign before or after it, are taken off;
/// the rest is [`plain`]. The sign stands outside or inside of a leading mark: `-$3`, `$-3`.
fn number(text: &str) -> Option<Number> {
    let (negative, text) = signed(text.trim());
    let (marked, text) = match text.strip_prefix(is_mark) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let (negative, text) = match (negative, marked) {
        (None, true) => signed(text),
        _ => (negative, text),
    };
    let text = if marked { text } else { text.strip_suffix(is_mark).map_or(text, str::trim_end) };
    plain(negative.unwrap_or(false), text)
}

/// Takes off a sign: whether it is a minus.
fn signed(text: &str) -> (Option<bool>, &str) {
    let mut characters = text.chars();
    match characters.next() {
        // U+2212 is the minus of typesetters.
        Some('-' | '\u{2212}') => (Some(true), characters.as_str()),
        Some('+') => (Some(false), characters.as_str()),
        _ => (None, text),
    }
}

/// Percent and the currency signs: those of Latin-1, and the Unicode block of the others.
fn is_mark(c: char) -> bool {
    matches!(c, '%' | '$' | '\u{a2}'..='\u{a5}' | '\u{20a0}'..='\u{20cf}')
}

/// Digits, in a row or with `,` between groups of three; then, if any, `.` and digits; then, if any, an exponent.
///
/// `12,50` and `0,125` are none (a decimal comma, most likely), nor is `1.234,50`.
fn plain(negative: bool, text: &str) -> Option<Number> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let grouped = |text: &str| text.bytes().take_while(|&byte| byte.is_ascii_digit() || byte == b',').count();
    let (whole, mut rest) = text.split_at(grouped(text));
    if whole.contains(',') {
        let mut groups = whole.split(',');
        let first = groups.next()?;
        if !(1..=3).contains(&first.len()) || first.starts_with('0') || groups.any(|group| group.len() != 3) {
            return None;
        }
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return None;
        }
        rest = &fraction[count..];
    } else if whole.is_empty() {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    let minus = if negative { "-" } else { "" };
    let text = format!("{minus}{}", text.replace(',', ""));
    // Whole numbers stay exact as long as 64 bits hold them.
    text.parse()
        .map(Number::Int)
        .or_else(|_| text.parse().map(Number::Big))
        .ok()
        .or_else(|| text.parse().ok().and_then(Number::from_f64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Each value as JSON, and what it is as this type, as JSON; nothing where it cannot be read.
    fn check(kind: ColumnType, cases: &[(&str, Option<&str>)]) {
        for (json, expected) in cases {
            let value: Value = serde_json::from_str(json).unwrap();
            let read = cast(&value, kind).map(|read| serde_json::to_string(&read).unwrap());
            assert_eq!(read.as_deref(), *expected, "{json}");
        }
    }

    #[test]
    fn numbers_are_read_as_a_person_would_and_never_guessed() {
        let cases = [
            ("null", Some("null")),
            ("12.5", Some("12.5")),
            ("18446744073709551615", Some("18446744073709551615")),
            (r#""12.34""#, Some("12.34")),
            (r#"" 1,234.50 ""#, Some("1234.5")),
            (r#""1,234,567""#, Some("1234567")),
            (r#""€ 12""#, Some("12")),
            (r#""12\u00a0€""#, Some("12")),
            (r#""$3.99""#, Some("3.99")),
            (r#""£.99""#, Some("0.99")),
            (r#""₹1,000""#, Some("1000")),
            (r#""45 %""#, Some("45")),
            (r#""-$3""#, Some("-3")),
            (r#""$-3""#, Some("-3")),
            (r#""\u22123""#, Some("-3")),
            (r#""+3""#, Some("3")),
            (r#""-0""#, Some("0")),
            (r#""007""#, Some("7")),
            (r#""1.5e-3""#, Some("0.0015")),
            (r#""18446744073709551615""#, Some("18446744073709551615")),
            (r#""-9223372036854775808""#, Some("-9223372036854775808")),
            (r#""100000000000000000000""#, Some("1e+20")),
            // A decimal comma looks like a thousands separator, or the other way round: not guessed.
            (r#""1.234,50""#, None),
            (r#""12,50""#, None),
            (r#""0,125""#, None),
            (r#""1234,567""#, None),
            (r#""1,23,456""#, None),
            (r#""1,,234""#, None),
            (r#"",123""#, None),
            (r#""1,234,""#, None),
            (r#""1.234.567""#, None),
            (r#""1 234""#, None),
            (r#""""#, None),
            (r#"" ""#, None),
            (r#""-""#, None),
            (r#""€""#, None),
            (r#"".""#, None),
            (r#""5.""#, None),
            (r#""1e""#, None),
            (r#""1e5x""#, None),
            (r#""1e999""#, None),
            (r#""- 5""#, None),
            (r#""--5""#, None),
            (r#""-$-5""#, None),
            (r#""$5%""#, None),
            (r#""$$5""#, None),
            (r#""EUR 12""#, None),
            (r#""from 12""#, None),
            (r#""12-15""#, None),
            (r#""NaN""#, None),
            (r#""inf""#, None),
            (r#""٣""#, None),
            ("true", None),
            ("[1]", None),
            ("{}", None),
        ];
        check(ColumnType::Number, &cases);
    }

    #[test]
    fn booleans_are_the_words_for_them() {
        let cases = [
            ("null", Some("null")),
            ("true", Some("true")),
            (r#"" True ""#, Some("true")),
            (r#""yes""#, Some("true")),
            (r#""FALSE""#, Some("false")),
            (r#""No""#, Some("false")),
            (r#""""#, None),
            (r#""y""#, None),
            (r#""1""#, None),
            ("1", None),
            ("[]", None),
        ];
        check(ColumnType::Boolean, &cases);
    }

    #[test]
    fn everything_but_null_has_a_text() {
        let cases = [
            ("null", Some("null")),
            (r#"" a ""#, Some(r#"" a ""#)),
            ("7", Some(r#""7""#)),
            ("1.50", Some(r#""1.5""#)),
            ("true", Some(r#""true""#)),
            (r#"[1,"a"]"#, Some(r#""[1,\"a\"]""#)),
            (r#"{"z":1,"a":null}"#, Some(r#""{\"z\":1,\"a\":null}""#)),
        ];
        check(ColumnType::Text, &cases);
    }

    proptest! {
        #[test]
        fn a_number_written_as_text_is_read_as_itself(
            value in prop_oneof![
                any::<i64>().prop_map(Number::Int),
                any::<u64>().prop_map(Number::from_u64),
                (proptest::num::f64::NORMAL | proptest::num::f64::ZERO).prop_map(Number::Float),
            ],
        ) {
            let value = Value::Number(value);
            let text = cast(&value, ColumnType::Text).unwrap();
            prop_assert_eq!(cast(&text, ColumnType::Number), Some(value));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[ -+]?[$€%]?[ ]?[0-9,.eE+-]{0,9}[ ]?[$€%]?|\\PC{0,12}") {
            let text = Value::text(&text);
            let (read, marked) = (cast(&text, ColumnType::Number), format!(" {}\t", text_of(&text)));
            prop_assert_eq!(cast(&Value::text(&marked), ColumnType::Number), read);
        }
    }

    fn text_of(value: &Value) -> &str {
        if let Value::Text(text) = value { text } else { "" }
    }
}
