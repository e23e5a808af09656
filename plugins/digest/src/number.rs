//! Numbers as JSON has them: whole ones exact, all others as `f64`, and an order over both that never rounds.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// A JSON number. Never NaN, never infinite: [`Number::from_f64`] is the only way in for a float.
///
/// Numbers are equal when they are the same point of the number line: `1` and `1.0` are one key of a group.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A whole number that fits `i64`.
    Int(i64),
    /// A whole number above `i64::MAX`.
    Big(u64),
    /// Anything else.
    Float(f64),
}

/// A number, its whole part without loss.
enum Exact {
    Int(i128),
    Float(f64),
}

/// 2^64 and -2^63: every `u64` and `i64` lies between these, and both are exact in `f64`.
const ABOVE_ALL_INTS: f64 = 18_446_744_073_709_551_616.0;
const LEAST_INT: f64 = -9_223_372_036_854_775_808.0;

impl Number {
    /// The number for `value`; `None` for NaN and the infinities, which JSON cannot write.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Float(value))
    }

    /// The number for `value`.
    pub fn from_u64(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Big(value), Self::Int)
    }

    /// The number for `value` if it fits 64 bits.
    pub fn from_i128(value: i128) -> Option<Self> {
        i64::try_from(value).map(Self::Int).or_else(|_| u64::try_from(value).map(Self::Big)).ok()
    }

    /// The exact value of a whole number that is not a float.
    pub fn as_int(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(value)),
            Self::Big(value) => Some(i128::from(value)),
            Self::Float(_) => None,
        }
    }

    /// The nearest `f64`.
    #[allow(clippy::cast_precision_loss)] // the nearest is what is asked for
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Big(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// Whole floats within the range of the integers count as integers, so that equal numbers hash alike.
    #[allow(clippy::cast_possible_truncation)] // inside the range just checked, and whole
    fn exact(self) -> Exact {
        match self {
            Self::Int(value) => Exact::Int(i128::from(value)),
            Self::Big(value) => Exact::Int(i128::from(value)),
            Self::Float(value) if value.fract() == 0.0 && (LEAST_INT..ABOVE_ALL_INTS).contains(&value) => {
                Exact::Int(value as i128)
            }
            Self::Float(value) => Exact::Float(value),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.exact(), other.exact()) {
            (Exact::Int(a), Exact::Int(b)) => a.cmp(&b),
            (Exact::Float(a), Exact::Float(b)) => a.total_cmp(&b),
            (Exact::Int(a), Exact::Float(b)) => int_with_float(a, b),
            (Exact::Float(a), Exact::Int(b)) => int_with_float(b, a).reverse(),
        }
    }
}

/// `float` is not whole, or lies outside the range of the integers.
#[allow(clippy::cast_possible_truncation)] // inside the range just checked
fn int_with_float(int: i128, float: f64) -> Ordering {
    if float >= ABOVE_ALL_INTS {
        Ordering::Less
    } else if float < LEAST_INT {
        Ordering::Greater
    } else {
        let below = float.floor() as i128;
        // Not whole, so the float lies strictly above its floor.
        if int <= below { Ordering::Less } else { Ordering::Greater }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.exact() {
            Exact::Int(value) => value.hash(state),
            Exact::Float(value) => value.to_bits().hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_beyond_the_precision_of_a_float_stay_apart() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1
        assert!(Number::Int(big) > Number::Float(9_007_199_254_740_992.0));
        assert!(Number::Big(u64::MAX) < Number::Float(ABOVE_ALL_INTS));
        assert!(Number::Int(i64::MIN) == Number::Float(LEAST_INT));
        assert!(Number::Float(-0.5) < Number::Int(0));
        assert!(Number::Float(-0.0) == Number::Int(0));
        assert!(Number::Float(1e300) > Number::Big(u64::MAX));
        assert!(Number::Float(-1e300) < Number::Int(i64::MIN));
    }

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![
            any::<i64>().prop_map(Number::Int),
            (-3_i64..3).prop_map(Number::Int),
            any::<u64>().prop_map(Number::from_u64),
            proptest::num::f64::NORMAL.prop_map(Number::Float),
            (-6_i32..6).prop_map(|n| Number::Float(f64::from(n) / 2.0)),
        ]
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_agrees_with_the_hash(a in number(), b in number(), c in number()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            if a == b {
                let hash = |n: &Number| {
                    let mut state = std::hash::DefaultHasher::new();
                    n.hash(&mut state);
                    state.finish()
                };
                prop_assert_eq!(hash(&a), hash(&b));
            }
        }
    }
}
