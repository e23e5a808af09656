//! Cutting texts down to a bound without breaking them.

/// At most `max` bytes of `text`, cut at a character, with `…` for what is missing.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    format!("{}…", cut(text, max))
}

/// The beginning of `text`, at most `max` bytes, cut at a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_text_is_within_its_bound_and_a_beginning(text in ".{0,64}", max in 0_usize..80) {
            let start = cut(&text, max);
            prop_assert!(start.len() <= max && text.starts_with(start));
            prop_assert!(max < text.len() || start == text);
        }
    }
}
