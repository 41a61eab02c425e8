//! How a caller's text is repeated in a message: shortened, and with nothing in it that could end a line or a quotation.

use crate::limits::MAX_SHOWN;

/// At most [`MAX_SHOWN`] characters of `text`; control characters are escaped, and the backtick that messages quote with becomes `'`.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_SHOWN) + 4);
    for (n, c) in text.chars().enumerate() {
        if n == MAX_SHOWN {
            out.push('…');
            break;
        }
        match c {
            '`' => out.push('\''),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Line and paragraph separators, direction marks and the like: not control characters, yet able to disguise a log line.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_text_can_neither_break_a_line_nor_a_quotation() {
        assert_eq!(shown("a\nb`c\u{202e}d\u{61c}e\u{2060}"), "a\\nb'c\\u{202e}d\\u{61c}e\\u{2060}");
        assert_eq!(shown("中文"), "中文");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), MAX_SHOWN + 1);
    }
}
