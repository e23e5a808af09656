//! How large a page and the whole output may be. All cuts are said in the page's `truncated`.

use buddy_plugin::serde::Serialize;
use buddy_plugin::serde_json::{self, Value};

use crate::output::Page;

/// Of the whole output, as JSON: the host takes 16 MiB from a plugin by default. Pages fill the larger part; when it is
/// full, later pages keep their address, status and title only.
pub(crate) const OUTPUT_BYTES: usize = 12 * 1024 * 1024;
/// Of all that has no bound of its own: stripped pages, aliases, failures. When this is full too, what comes after is
/// only counted, as `left_out`.
pub(crate) const LIGHT_BYTES: usize = 3 * 1024 * 1024;
/// Of a failure's reason.
pub(crate) const REASON_BYTES: usize = 500;
/// Of one page, as JSON: so that a thousand full pages do not push each other out of the output at once.
pub(crate) const PAGE_BYTES: usize = 1024 * 1024;
/// Of an article: a long book chapter.
pub(crate) const ARTICLE_BYTES: usize = 256 * 1024;
/// Of one text in a field.
const TEXT_BYTES: usize = 64 * 1024;
/// Entries of a list in a field, and elements of `each`.
const LIST_ITEMS: usize = 5_000;
/// Of a title.
pub(crate) const TITLE_BYTES: usize = 1_000;

/// Cuts a text at a character's boundary; says whether it did.
pub(crate) fn cut(text: &mut String, bytes: usize) -> bool {
    if text.len() <= bytes {
        return false;
    }
    text.truncate(text.floor_char_boundary(bytes));
    true
}

/// Cuts the texts and lists inside of a field's value; says whether it did.
pub(crate) fn cut_value(value: &mut Value) -> bool {
    match value {
        Value::String(text) => cut(text, TEXT_BYTES),
        Value::Array(list) => {
            let mut did = list.len() > LIST_ITEMS;
            list.truncate(LIST_ITEMS);
            for item in list {
                did |= cut_value(item);
            }
            did
        }
        Value::Object(map) => {
            let mut did = false;
            for item in map.values_mut() {
                did |= cut_value(item);
            }
            did
        }
        _ => false,
    }
}

/// The size as JSON.
pub(crate) fn size<T: Serialize>(value: &T) -> usize {
    // What serde writes here are strings, numbers and maps with string keys: it does not fail. A size that could not be
    // taken counts as too large, so the part is left out and said so.
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

/// Leaves out the largest parts of a page until it is within `bytes`.
pub(crate) fn fit(page: &mut Page, bytes: usize) {
    while size(page) > bytes {
        let sizes = [
            (size(&page.tables), "tables"),
            (size(&page.links), "links"),
            (size(&page.article), "article"),
            (size(&page.metadata), "metadata"),
            (size(&page.items), "items"),
            (size(&page.fields), "fields"),
        ];
        // An absent part is `null`, four bytes.
        let Some(&(_, part)) = sizes.iter().filter(|(size, _)| *size > 4).max() else {
            return;
        };
        leave_out(page, part);
    }
}

/// Leaves a page its address, status and title.
pub(crate) fn strip(page: &mut Page) {
    for part in ["tables", "links", "article", "metadata", "items", "fields"] {
        leave_out(page, part);
    }
}

fn leave_out(page: &mut Page, part: &'static str) {
    let was_there = match part {
        "tables" => page.tables.take().is_some(),
        "links" => page.links.take().is_some(),
        "article" => page.article.take().is_some(),
        "metadata" => page.metadata.take().is_some(),
        "items" => page.items.take().is_some(),
        _ => page.fields.take().is_some(),
    };
    if was_there {
        note(page, part);
    }
}

/// Notes that a part of the page was cut.
pub(crate) fn note(page: &mut Page, part: &str) {
    if !page.truncated.iter().any(|noted| noted == part) {
        page.truncated.push(part.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Link;
    use buddy_plugin::serde_json::json;
    use proptest::prelude::*;

    #[test]
    fn a_page_that_is_too_large_loses_its_largest_part_first() {
        let mut page = Page {
            article: Some("x".repeat(900)),
            links: Some(vec![Link { url: "https://example.com/".into(), text: "home".into() }]),
            ..Page::default()
        };
        fit(&mut page, 600);
        assert_eq!(page.truncated, ["article"]);
        assert!(page.links.is_some());
        assert!(size(&page) <= 600);
    }

    #[test]
    fn long_texts_and_lists_within_fields_are_cut() {
        let mut value = json!({ "a": ["x".repeat(TEXT_BYTES + 1)], "b": vec![0; LIST_ITEMS + 1] });
        assert!(cut_value(&mut value));
        assert!(!cut_value(&mut value), "once is enough");
    }

    proptest! {
        #[test]
        fn a_cut_text_is_a_beginning_of_it(text in any::<String>(), bytes in 0_usize..40) {
            let mut cut_text = text.clone();
            let did = cut(&mut cut_text, bytes);
            prop_assert!(text.starts_with(&cut_text));
            prop_assert!(cut_text.len() <= bytes.max(text.len().min(bytes)));
            prop_assert_eq!(did, cut_text != text);
        }
    }
}
