//! Patterns in which `*` stands for anything, for links to follow and for robots.txt.

/// Whether the whole text matches.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The last `*` seen, and the place in the text from where it is being tried: a mismatch only ever goes back to the
    // last star, so the work is at most pattern × text and needs no stack.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the definition says, without any thought of speed.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                by_definition(&pattern[1..], text) || (!text.is_empty() && by_definition(pattern, &text[1..]))
            }
            (Some(p), Some(t)) => p == t && by_definition(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    #[test]
    fn a_star_stands_for_anything_and_for_nothing() {
        assert!(matches(b"https://*/docs/*", b"https://example.com/docs/"));
        assert!(matches(b"*", b""));
        assert!(!matches(b"https://example.com/", b"https://example.com/a"));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,12}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                by_definition(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
