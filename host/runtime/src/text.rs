//! Cutting texts down to a bound without breaking them, and names that may have been meant.

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

/// The nearest of these names, if one is near enough to be a slip of the pen.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Jaro-Winkler gives 0.8 and more to a wrong, missing or swapped letter in names of this length.
    const NEAR: f64 = 0.8;
    // Longer ones are no slips of anything; comparing takes time with both lengths.
    const LONGEST: usize = 100;
    let short = |name: &str| name.len() <= LONGEST;
    if !short(name) {
        return None;
    }
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| short(candidate))
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.to_owned())
}

/// Names in one line, each in back-ticks: all of them while they are few, else the first ones and how many more.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names.into_iter().map(|name| format!("`{name}`")))
}

/// The same of words that are written as they stand.
pub(crate) fn joined(words: impl IntoIterator<Item = String>) -> String {
    // What a person still reads through.
    const FEW: usize = 12;
    let mut words: Vec<String> = words.into_iter().collect();
    let more = words.len().saturating_sub(FEW);
    words.truncate(FEW);
    let shown = words.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// What to say after a name that is not known: the one that may have been meant, else those that there are.
pub(crate) fn instead(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!(" (did you mean `{near}`?)"),
        None if known.is_empty() => String::new(),
        None => format!("; known: {}", listed(known.iter().copied())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slip_of_the_pen_names_what_was_meant_and_anything_else_what_there_is() {
        let known = ["filter", "group_by", "sort"];
        assert_eq!(instead("filtr", &known), " (did you mean `filter`?)");
        assert_eq!(instead("Groupby", &known), " (did you mean `group_by`?)");
        assert_eq!(instead("where", &known), "; known: `filter`, `group_by`, `sort`");
        assert_eq!(instead("where", &[]), "");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
        assert!(listed(names.iter().map(String::as_str)).ends_with("`n11` and 88 more"));
        assert_eq!(listed(["a", "b"]), "`a`, `b`");
    }

    proptest! {
        #[test]
        fn a_cut_text_is_within_its_bound_and_a_beginning(text in ".{0,64}", max in 0_usize..80) {
            let start = cut(&text, max);
            prop_assert!(start.len() <= max && text.starts_with(start));
            prop_assert!(max < text.len() || start == text);
        }
    }
}
