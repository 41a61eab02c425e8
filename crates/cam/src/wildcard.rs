//! Matching with `*`, which stands for any number of any characters, none included. No other character is special.
//!
//! ASCII case is ignored: host names and service names have none, and an action that differs only by case would make a deny silently do nothing. Both
//! sides are brought to lower case beforehand, the pattern when its policy is parsed, the text once a request.
//!
//! A pattern is taken apart at its stars and each part is sought once, from left to right, so the time is bounded by the product of the text's and
//! the longest part's length, however many stars there are.

/// Bytes that need no allocation: `domain/` and the longest host name (253) fit.
const SHORT: usize = 264;

/// A text in lower case, to be matched with many patterns.
pub(crate) struct Text {
    short: [u8; SHORT],
    length: usize,
    /// The whole text where it is longer than `short`, else nothing.
    long: Vec<u8>,
}

impl Text {
    /// The text of two pieces, one after the other.
    pub(crate) fn new(head: &str, tail: &str) -> Self {
        let mut text = Self { short: [0; SHORT], length: head.len() + tail.len(), long: Vec::new() };
        let pieces = text.short.split_at_mut_checked(head.len());
        match pieces.and_then(|(first, rest)| Some((first, rest.get_mut(..tail.len())?))) {
            Some((first, second)) => {
                first.copy_from_slice(head.as_bytes());
                second.copy_from_slice(tail.as_bytes());
                text.short.make_ascii_lowercase();
            }
            None => {
                text.long = [head, tail].concat().into_bytes();
                text.long.make_ascii_lowercase();
            }
        }
        text
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // Where it is not `short` that holds the text, its length is beyond it.
        self.short.get(..self.length).unwrap_or(&self.long)
    }
}

/// Whether the whole of `text` is described by `pattern`, both in lower case.
pub(crate) fn matches(pattern: &str, text: &[u8]) -> bool {
    let mut parts = pattern.split('*').map(str::as_bytes);
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else { return text == first };
    let Some(mut between) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else { return false };
    // The leftmost place for each part leaves most room for those after it, so no choice is ever taken back.
    for part in parts.filter(|part| !part.is_empty()) {
        match between.windows(part.len()).position(|window| window == part) {
            Some(start) => between = between.get(start + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// Whether `pattern` is made of stars only, and so describes everything.
pub(crate) fn is_everything(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.bytes().all(|b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, tried out in every way: slow, but plain.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            [want, rest @ ..] => text.first() == Some(want) && naive(rest, &text[1..]),
        }
    }

    fn check(pattern: &str, text: &str) -> bool {
        matches(&pattern.to_ascii_lowercase(), Text::new(text, "").bytes())
    }

    #[test]
    fn stars_stand_for_any_characters_and_nothing_else_does() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "x"),
            ("domain/*", "domain/"),
            ("domain/*", "domain/www.test1.com"),
            ("domain/*.test1.com", "domain/a.b.test1.com"),
            ("cdn:*Purge*", "cdn:DescribePurgeTasks"),
            ("CDN:purge*", "cdn:PurgeUrlsCache"),
            ("a**b", "ab"),
            ("a*b*c", "abbcbc"),
        ] {
            assert!(check(pattern, text), "{pattern} describes {text}");
        }
        for (pattern, text) in [
            ("", "x"),
            ("domain/www.test1.com", "domain/www.test1.com.evil.com"),
            ("domain/www.test1.com", "domain/wwwxtest1.com"),
            ("domain/*.test1.com", "domain/test1.com"),
            ("ab*ba", "aba"),
            ("*aa*aa*", "aaa"),
            ("a?c", "abc"),
            ("*a*a*a*", "aa"),
        ] {
            assert!(!check(pattern, text), "{pattern} does not describe {text}");
        }
    }

    #[test]
    fn many_stars_do_not_multiply() {
        // Taken back choice by choice, this would not end in this universe's time.
        let pattern = "*a".repeat(3_000) + "b";
        assert!(!check(&pattern, &"a".repeat(6_000)));
        assert!(check(&"*a".repeat(3_000), &"a".repeat(6_000)));
    }

    #[test]
    fn a_text_of_any_length_is_kept_whole() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 2 * SHORT] {
            let tail = "Xy".repeat(length);
            let whole: String = format!("Domain/{tail}").chars().take(7 + length).collect();
            let text = Text::new(&whole[..7], &whole[7..]);
            assert_eq!(text.bytes(), whole.to_ascii_lowercase().as_bytes(), "{length}");
        }
    }

    proptest! {
        // Cheap, and the telling cases, where parts overlap, are rare.
        #![proptest_config(ProptestConfig::with_cases(8_192))]
        #[test]
        fn the_matcher_is_its_definition(pattern in "([*]|aA|ab|a){0,7}", text in "(a|aa|B|[*]){0,6}", cut in 0usize..13) {
            let cut = cut.min(text.len());
            let whole = Text::new(&text[..cut], &text[cut..]);
            let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
            prop_assert_eq!(matches(&pattern, whole.bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }

    }

    proptest! {
        #[test]
        fn any_pattern_and_text_are_answered(pattern in any::<String>(), text in any::<String>()) {
            let _ = check(&pattern, &text);
        }
    }
}
