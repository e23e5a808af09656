//! The figures of `group_by`: what each keeps for a group, and how it ends.
//!
//! Null and missing never count. Figures of numbers leave other values out and count them in a warning.

use std::cmp::Ordering;

use super::counted;
use super::keys::{KeyTable, Place};
use super::select::path;
use crate::error::Problems;
use crate::input::{Aggregate, AggregateOp};
use crate::number::Number;
use crate::path::Path;
use crate::value::{Key, Record, Value, intern};

/// One figure, as the input asks for it.
#[derive(Debug)]
pub(crate) struct Figure {
    op: AggregateOp,
    field: Option<Path>,
    /// The columns it makes: one, or one for each quantile.
    pub(crate) columns: Vec<Key>,
    /// The quantiles, from 0 to 1.
    at: Vec<f64>,
    place: String,
    /// Values left out because the figure cannot use their type.
    odd: u64,
    /// Totals that did not fit 64 bits, or no finite float.
    over: u64,
}

/// What a figure keeps for one group.
#[derive(Debug)]
pub(crate) enum State {
    Count(u64),
    Distinct(KeyTable),
    Total(Total),
    Extreme(Extreme),
    Numbers(Vec<Number>),
}

impl Figure {
    /// The figure that stands where none is named.
    pub(crate) fn count_of_rows() -> Self {
        Self {
            op: AggregateOp::Count,
            field: None,
            columns: vec![intern("count")],
            at: Vec::new(),
            place: String::new(),
            odd: 0,
            over: 0,
        }
    }

    /// Checks the figure at `place`.
    pub(crate) fn new(aggregate: &Aggregate, place: &str, problems: &mut Problems) -> Option<Self> {
        let op = aggregate.op;
        let field = match &aggregate.field {
            Some(text) => Some(path(text, &format!("{place}/field"), problems)?),
            None if op == AggregateOp::Count => None,
            None => {
                problems.add(place, format!("`{}` needs `field`, the field to work on.", name(op)));
                return None;
            }
        };
        if aggregate.at.is_some() && op != AggregateOp::Quantiles {
            problems.add(format!("{place}/at"), "Only `quantiles` takes `at`.");
            return None;
        }
        let at = aggregate.at.clone().unwrap_or_else(|| vec![0.25, 0.5, 0.75]);
        if let Some(n) = at.iter().position(|q| !(0.0..=1.0).contains(q)) {
            problems.add(format!("{place}/at/{n}"), "A quantile lies between 0 and 1.");
            return None;
        }
        if at.is_empty() {
            problems.add(format!("{place}/at"), "Name at least one quantile, for example 0.5.");
            return None;
        }
        let base = match (&aggregate.name, &field) {
            (Some(name), _) => name.clone(),
            (None, None) => name(op).to_owned(),
            (None, Some(field)) if op == AggregateOp::Quantiles => field.column().to_string(),
            (None, Some(field)) => format!("{}_{}", name(op), field.column()),
        };
        let columns = if op == AggregateOp::Quantiles && !base.is_empty() {
            at.iter().map(|q| intern(&format!("{base}_p{}", percent(*q)))).collect()
        } else {
            vec![intern(&base)]
        };
        Some(Self { op, field, columns, at, place: place.to_owned(), odd: 0, over: 0 })
    }

    pub(crate) fn start(&self) -> State {
        match self.op {
            AggregateOp::Count => State::Count(0),
            AggregateOp::CountDistinct => State::Distinct(KeyTable::default()),
            AggregateOp::Sum | AggregateOp::Mean => State::Total(Total::default()),
            AggregateOp::Min | AggregateOp::Max => State::Extreme(Extreme::default()),
            AggregateOp::Quantiles => State::Numbers(Vec::new()),
        }
    }

    /// Takes a row into the state of its group; how many bytes more that state holds now.
    pub(crate) fn add(&mut self, state: &mut State, row: &Record) -> usize {
        let value = match &self.field {
            Some(field) => field.get_or_null(row),
            None => &Value::Bool(true), // counts rows
        };
        if value.is_null() {
            return 0;
        }
        let wanted = if self.op == AggregateOp::Min { Ordering::Less } else { Ordering::Greater };
        match (state, value) {
            (State::Count(count), _) => *count += 1,
            (State::Distinct(seen), _) => {
                if let Place::New { weight, .. } = seen.place(&[value]) {
                    return weight;
                }
            }
            (State::Total(total), Value::Number(number)) => total.add(*number),
            (State::Numbers(numbers), Value::Number(number)) => {
                numbers.push(*number);
                return size_of::<Number>();
            }
            (State::Extreme(extreme), Value::Number(number)) => {
                better(&mut extreme.number, number, wanted);
            }
            (State::Extreme(extreme), Value::Text(text)) => {
                better(&mut extreme.text, text, wanted);
                let longer = text.len().saturating_sub(extreme.room);
                extreme.room += longer;
                return longer;
            }
            (State::Extreme(extreme), Value::Bool(flag)) => {
                better(&mut extreme.flag, flag, wanted);
            }
            (State::Extreme(_) | State::Total(_) | State::Numbers(_), _) => self.odd += 1,
        }
        0
    }

    /// Writes the figure's columns into the group's row.
    pub(crate) fn finish(&mut self, state: State, row: &mut Record) {
        let value = match state {
            State::Count(count) => Value::int(count),
            State::Distinct(seen) => Value::int(seen.len() as u64),
            State::Total(total) if self.op == AggregateOp::Sum => {
                let sum = total.sum();
                self.over += u64::from(total.count > 0 && total.is_rounded());
                sum.map_or(Value::Null, Value::Number)
            }
            State::Total(total) => {
                let mean = total.mean();
                self.over += u64::from(total.count > 0 && mean.is_none());
                mean.map_or(Value::Null, Value::Number)
            }
            State::Extreme(extreme) => {
                let (value, left_out) = extreme.into_value();
                self.odd += left_out;
                value
            }
            State::Numbers(mut numbers) => {
                numbers.sort_unstable();
                for (column, q) in self.columns.iter().zip(&self.at) {
                    row.push(column, quantile(&numbers, *q).map_or(Value::Null, Value::Number));
                }
                return;
            }
        };
        if let Some(column) = self.columns.first() {
            row.push(column, value);
        }
    }

    /// What the figure could not do as asked.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let field = self.field.as_ref().map_or("", Path::text);
        let mut list = Vec::new();
        if self.odd > 0 {
            list.push(format!(
                "{}: {} of a type that `{}` of `{field}` cannot use, and left out.",
                self.place,
                counted(self.odd, "value"),
                name(self.op)
            ));
        }
        if self.over > 0 {
            list.push(format!(
                "{}: `{}` of `{field}` went beyond 64 bits in {} group(s); it is rounded there, or null where no float \
                 can hold it.",
                self.place,
                name(self.op),
                self.over
            ));
        }
        list
    }
}

fn name(op: AggregateOp) -> &'static str {
    match op {
        AggregateOp::Count => "count",
        AggregateOp::CountDistinct => "count_distinct",
        AggregateOp::Sum => "sum",
        AggregateOp::Mean => "mean",
        AggregateOp::Min => "min",
        AggregateOp::Max => "max",
        AggregateOp::Quantiles => "quantiles",
    }
}

/// 0.5 → "50", 0.999 → "99.9": the name people give a quantile.
fn percent(q: f64) -> f64 {
    // Rounded, for 0.07 × 100 is 7.000000000000001.
    (q * 100.0 * 1e6).round() / 1e6
}

fn better<T: Ord + Clone>(best: &mut (Option<T>, u64), value: &T, wanted: Ordering) {
    best.1 += 1;
    match &best.0 {
        Some(kept) if value.cmp(kept) != wanted => {}
        _ => best.0 = Some(value.clone()),
    }
}

/// The least or the greatest, for each type that has an order, and how many there were of it.
#[derive(Debug, Default)]
pub(crate) struct Extreme {
    number: (Option<Number>, u64),
    text: (Option<Box<str>>, u64),
    flag: (Option<bool>, u64),
    /// The longest text seen: what the kept one takes at most.
    room: usize,
}

impl Extreme {
    /// Numbers win over text, text over booleans: one stray "n/a" must not become the maximum of a column of prices.
    fn into_value(self) -> (Value, u64) {
        let (numbers, texts, flags) = (self.number.1, self.text.1, self.flag.1);
        if let Some(number) = self.number.0 {
            (Value::Number(number), texts + flags)
        } else if let Some(text) = self.text.0 {
            (Value::Text(text), numbers + flags)
        } else {
            (self.flag.0.map_or(Value::Null, Value::Bool), 0)
        }
    }
}

/// A total: whole numbers exact in 128 bits (2^63 values of 64 bits fit), floats with Neumaier's compensation.
#[derive(Debug, Default)]
pub(crate) struct Total {
    count: u64,
    whole: i128,
    float: f64,
    lost: f64,
    has_float: bool,
}

impl Total {
    fn add(&mut self, number: Number) {
        self.count += 1;
        if let Some(int) = number.as_int() {
            self.whole += int;
        } else {
            self.has_float = true;
            let value = number.as_f64();
            let sum = self.float + value;
            self.lost +=
                if self.float.abs() >= value.abs() { (self.float - sum) + value } else { (value - sum) + self.float };
            self.float = sum;
        }
    }

    #[allow(clippy::cast_precision_loss)] // a float is wanted
    fn as_f64(&self) -> f64 {
        if self.has_float { self.whole as f64 + (self.float + self.lost) } else { self.whole as f64 }
    }

    /// Exact where all numbers are whole and the total fits 64 bits; `None` where no float can hold it.
    fn sum(&self) -> Option<Number> {
        let exact = if self.has_float { None } else { Number::from_i128(self.whole) };
        exact.or_else(|| Number::from_f64(self.as_f64()))
    }

    /// Whether the sum lost its exactness, or itself, by size.
    fn is_rounded(&self) -> bool {
        if self.has_float { !self.as_f64().is_finite() } else { Number::from_i128(self.whole).is_none() }
    }

    #[allow(clippy::cast_precision_loss)] // no group has 2^53 rows
    fn mean(&self) -> Option<Number> {
        if self.count == 0 {
            return None;
        }
        Number::from_f64(self.as_f64() / self.count as f64)
    }
}

/// The quantile `q` of sorted numbers by linear interpolation: type 7 of Hyndman and Fan, the default of numpy and R.
/// A number of the list stays as it is, exact; what lies between two is a float.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
// a list in memory has far fewer than 2^52 numbers, and `q` lies between 0 and 1
pub(crate) fn quantile(sorted: &[Number], q: f64) -> Option<Number> {
    let last = sorted.len().checked_sub(1)?;
    let place = last as f64 * q;
    let below = (place.floor() as usize).min(last);
    let share = place - below as f64;
    let low = sorted[below];
    let high = sorted[(below + 1).min(last)];
    if share <= 0.0 || low == high {
        return Some(low);
    }
    let (low, high) = (low.as_f64(), high.as_f64());
    let span = high - low;
    let between = if span.is_finite() { low + span * share } else { low * (1.0 - share) + high * share };
    Number::from_f64(between)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp)]
    use super::*;
    use proptest::prelude::*;

    fn total(numbers: &[Number]) -> Total {
        let mut total = Total::default();
        for number in numbers {
            total.add(*number);
        }
        total
    }

    #[test]
    fn quantiles_agree_with_numpy() {
        // numpy.quantile([1, 2, 4, 8], [0, .1, .25, .5, .9, 1])
        let list: Vec<Number> = [1, 2, 4, 8].map(Number::Int).to_vec();
        let expected = [(0.0, 1.0), (0.1, 1.3), (0.25, 1.75), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)];
        for (q, value) in expected {
            let found = quantile(&list, q).unwrap().as_f64();
            assert!((found - value).abs() < 1e-12, "{q}: {found}");
        }
        assert!(quantile(&[], 0.5).is_none());
        let huge = [Number::Float(-1.5e308), Number::Float(1.5e308)];
        assert_eq!(quantile(&huge, 0.5).unwrap().as_f64(), 0.0);
    }

    #[test]
    fn sums_of_whole_numbers_are_exact_and_become_floats_beyond_64_bits() {
        assert_eq!(total(&[Number::Int(i64::MAX), Number::Int(1)]).sum(), Some(Number::Big(1 << 63)));
        let over = total(&[Number::Big(u64::MAX), Number::Int(1)]);
        assert!(over.is_rounded());
        assert_eq!(over.sum().unwrap().as_f64(), 18_446_744_073_709_551_616.0);
        assert_eq!(over.mean().unwrap().as_f64(), 9_223_372_036_854_775_808.0);
        assert_eq!(total(&[Number::Float(1e308); 20]).sum(), None);
    }

    #[test]
    fn sums_of_floats_do_not_drift() {
        let sum = total(&[Number::Float(0.1); 1000]).sum().unwrap().as_f64();
        assert!((sum - 100.0).abs() < 1e-12, "{sum}");
        let sum = total(&[Number::Float(1e16), Number::Float(1.5), Number::Float(-1e16)]).sum().unwrap().as_f64();
        assert_eq!(sum, 1.5);
    }

    #[test]
    fn a_quantile_has_the_name_people_give_it() {
        let names: Vec<String> = [0.0, 0.07, 0.5, 0.999, 1.0].iter().map(|q| percent(*q).to_string()).collect();
        assert_eq!(names, ["0", "7", "50", "99.9", "100"]);
    }

    proptest! {
        #[test]
        fn a_quantile_lies_where_its_share_of_the_list_is(
            mut list in prop::collection::vec(-1000_i32..1000, 1..60),
            q in 0.0..=1.0_f64,
        ) {
            let mut numbers: Vec<Number> = list.iter().map(|n| Number::Int(i64::from(*n))).collect();
            numbers.sort_unstable();
            list.sort_unstable();
            let found = quantile(&numbers, q).unwrap().as_f64();
            // Naively: the weighted mean of the two neighbours of the place.
            let place = q * f64::from(u32::try_from(list.len() - 1).unwrap());
            let naive: f64 = list.iter().enumerate().map(|(n, value)| {
                let distance = (place - f64::from(u32::try_from(n).unwrap())).abs();
                f64::from(*value) * (1.0 - distance).max(0.0)
            }).sum();
            prop_assert!((found - naive).abs() < 1e-6, "{found} {naive}");
        }

        #[test]
        fn sums_of_whole_numbers_agree_with_wide_arithmetic(list in prop::collection::vec(any::<i64>(), 0..50)) {
            let numbers: Vec<Number> = list.iter().map(|n| Number::Int(*n)).collect();
            let wide: i128 = list.iter().map(|n| i128::from(*n)).sum();
            match Number::from_i128(wide) {
                Some(exact) => prop_assert_eq!(total(&numbers).sum(), Some(exact)),
                None => prop_assert!(total(&numbers).is_rounded()),
            }
        }
    }
}
