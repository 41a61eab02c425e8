//! Texts of others, made safe to show on a terminal.
//!
//! What this is: control characters and direction marks written as `\u{..}`, so that a message, a
//! reason or a URL can neither move the cursor, nor hide or reorder what stands beside it. What it
//! is not: reversible, or meant for machines; JSON is printed as it is.

use std::borrow::Cow;

/// The text with nothing in it that a terminal would obey.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters (C0, DEL, C1); marks, embeddings and isolates of direction (Unicode annex 9);
/// line and paragraph separators; characters without width, which make two names look alike.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text in "[\\x00-\\x20\\x7f-\\u{9f}\\u{200b}-\\u{206f}a中]{0,40}") {
            let shown = visible(&text);
            let moves = |c: char| c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c);
            prop_assert!(!shown.chars().any(moves));
            prop_assert_eq!(visible(&shown), &*shown);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out_and_the_rest_is_kept() {
        assert_eq!(visible("a\u{1b}[2J\r\n\u{9b}b"), "a\\u{1b}[2J\\u{d}\\u{a}\\u{9b}b");
        assert_eq!(visible("gpj\u{202e}.exe\u{2066}\u{200f}"), "gpj\\u{202e}.exe\\u{2066}\\u{200f}");
        for kept in ["", "http://a.test/中文/é?x=\\n", "e\u{301} 👩"] {
            assert!(matches!(visible(kept), Cow::Borrowed(text) if text == kept), "{kept}");
        }
    }
}
