//! `filter`: keeps the rows for which a condition holds.
//!
//! A comparison never fails a row: where the types do not fit it does not hold, and rows that `lt`, `le`, `gt`, `ge`
//! could not compare for that reason are counted in a warning.

use regex_lite::{Regex, RegexBuilder};

use super::{Flow, Next, Stage, counted};
use crate::error::{Fault, Problems};
use crate::input::{Condition, Op};
use crate::path::Path;
use crate::value::{Record, Value};

/// A compiled regular expression may take this much; the crate's own default of 10 MiB is more than a filter is worth.
const MOST_REGEX_BYTES: usize = 1 << 20;
/// Conditions of one filter, all levels together.
const MOST_CONDITIONS: usize = 256;

/// A condition, checked.
#[derive(Debug)]
enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Compare(Compare),
}

#[derive(Debug)]
struct Compare {
    field: Path,
    with: With,
    /// Rows whose value has another type than an ordering comparison can use.
    odd: u64,
}

#[derive(Debug)]
enum With {
    Equal(Value, bool),
    Order(Value, fn(std::cmp::Ordering) -> bool),
    Contains(Value),
    Start(Box<str>),
    Matches(Regex),
    In(Vec<Value>),
    Exists(bool),
}

/// The step at work.
pub(crate) struct Filter {
    test: Test,
    at: String,
}

impl Filter {
    /// Checks the condition at `at`.
    pub(crate) fn new(condition: &Condition, at: &str, problems: &mut Problems) -> Option<Self> {
        let mut left = MOST_CONDITIONS;
        let test = compile(condition, at, &mut left, problems)?;
        Some(Self { test, at: at.to_owned() })
    }
}

impl Stage for Filter {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        if self.test.holds(&row) { next.push(row) } else { Ok(Flow::More) }
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Fault> {
        let mut odd = Vec::new();
        self.test.odd(&mut odd);
        for (field, count) in odd {
            next.warn(format!(
                "{}: {} of another type than what `{field}` is compared with, and did not match.",
                self.at,
                counted(count, "value")
            ));
        }
        Ok(())
    }
}

fn compile(condition: &Condition, at: &str, left: &mut usize, problems: &mut Problems) -> Option<Test> {
    let Some(rest) = left.checked_sub(1) else {
        problems
            .add(at, format!("A filter has at most {MOST_CONDITIONS} conditions; use `in` for long lists of values."));
        return None;
    };
    *left = rest;
    let compares = condition.field.is_some() || condition.op.is_some() || condition.value.is_some();
    let forms = [compares, condition.and.is_some(), condition.or.is_some(), condition.not.is_some()];
    if forms.iter().filter(|&&is| is).count() != 1 {
        problems.add(at, "A condition is either `field` with `op` and `value`, or one of `and`, `or`, `not`.");
        return None;
    }
    let mut all = |list: &[Condition], name: &str| {
        let tests: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(n, inner)| compile(inner, &format!("{at}/{name}/{n}"), left, problems))
            .collect();
        tests.into_iter().collect::<Option<Vec<Test>>>()
    };
    if let Some(list) = &condition.and {
        return all(list, "and").map(Test::And);
    }
    if let Some(list) = &condition.or {
        return all(list, "or").map(Test::Or);
    }
    if let Some(inner) = &condition.not {
        return compile(inner, &format!("{at}/not"), left, problems).map(|test| Test::Not(Box::new(test)));
    }
    compare(condition, at, problems).map(Test::Compare)
}

fn compare(condition: &Condition, at: &str, problems: &mut Problems) -> Option<Compare> {
    let Some(field) = &condition.field else {
        problems.add(at, "A comparison needs `field`, the name of the field to look at.");
        return None;
    };
    let Some(op) = condition.op else {
        problems.add(at, "A comparison needs `op`, for example `eq`.");
        return None;
    };
    let field = Path::parse(field).map_err(|why| problems.add(format!("{at}/field"), why)).ok()?;
    let place = format!("{at}/value");
    let with = match (op, condition.value.clone()) {
        (Op::Exists, None) => With::Exists(true),
        (Op::Exists, Some(Value::Bool(wanted))) => With::Exists(wanted),
        (Op::Exists, Some(_)) => {
            problems.add(place, "`exists` takes true or false.");
            return None;
        }
        (_, None) => {
            problems.add(at, "This comparison needs `value`, what to compare with (null is a value too).");
            return None;
        }
        (Op::Eq, Some(value)) => With::Equal(value, true),
        (Op::Ne, Some(value)) => With::Equal(value, false),
        (Op::Lt | Op::Le | Op::Gt | Op::Ge, Some(value)) => {
            if !matches!(value, Value::Bool(_) | Value::Number(_) | Value::Text(_)) {
                problems.add(
                    place,
                    format!("An order needs a number, text or boolean to compare with, not {}.", value.kind()),
                );
                return None;
            }
            With::Order(
                value,
                match op {
                    Op::Lt => std::cmp::Ordering::is_lt,
                    Op::Le => std::cmp::Ordering::is_le,
                    Op::Gt => std::cmp::Ordering::is_gt,
                    _ => std::cmp::Ordering::is_ge,
                },
            )
        }
        (Op::Contains, Some(value)) => With::Contains(value),
        (Op::StartsWith, Some(Value::Text(text))) => With::Start(text),
        (Op::Matches, Some(Value::Text(pattern))) => {
            match RegexBuilder::new(&pattern).size_limit(MOST_REGEX_BYTES).build() {
                Ok(regex) => With::Matches(regex),
                Err(why) => {
                    problems.add(place, format!("`{pattern}` is not a regular expression that can be used: {why}."));
                    return None;
                }
            }
        }
        (Op::StartsWith | Op::Matches, Some(value)) => {
            problems.add(place, format!("This comparison takes text, not {}.", value.kind()));
            return None;
        }
        (Op::In, Some(Value::List(list))) => {
            let mut list = list;
            list.sort_unstable();
            With::In(list)
        }
        (Op::In, Some(value)) => {
            problems.add(place, format!("`in` takes a list of values, not {}.", value.kind()));
            return None;
        }
    };
    Some(Compare { field, with, odd: 0 })
}

impl Test {
    fn holds(&mut self, row: &Record) -> bool {
        match self {
            Self::And(list) => list.iter_mut().all(|test| test.holds(row)),
            Self::Or(list) => list.iter_mut().any(|test| test.holds(row)),
            Self::Not(test) => !test.holds(row),
            Self::Compare(compare) => compare.holds(row),
        }
    }

    fn odd(&self, found: &mut Vec<(String, u64)>) {
        match self {
            Self::And(list) | Self::Or(list) => list.iter().for_each(|test| test.odd(found)),
            Self::Not(test) => test.odd(found),
            Self::Compare(compare) if compare.odd > 0 => {
                found.push((compare.field.text().to_owned(), compare.odd));
            }
            Self::Compare(_) => {}
        }
    }
}

impl Compare {
    fn holds(&mut self, row: &Record) -> bool {
        if let With::Exists(wanted) = self.with {
            return self.field.get(row).is_some() == wanted;
        }
        let value = self.field.get_or_null(row);
        match &self.with {
            With::Equal(with, wanted) => (value == with) == *wanted,
            With::Order(with, fits) => {
                if value.rank() == with.rank() {
                    return fits(value.cmp(with));
                }
                self.odd += u64::from(!value.is_null());
                false
            }
            With::Contains(with) => match (value, with) {
                (Value::Text(text), Value::Text(part)) => text.contains(&**part),
                (Value::List(list), _) => list.contains(with),
                _ => false,
            },
            With::Start(start) => {
                matches!(value, Value::Text(text) if text.starts_with(&**start))
            }
            With::Matches(regex) => matches!(value, Value::Text(text) if regex.is_match(text)),
            With::In(list) => list.binary_search(value).is_ok(),
            With::Exists(_) => false, // answered above
        }
    }
}
