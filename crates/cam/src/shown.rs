//! How text of a policy or a request is repeated in a message: shortened, and with nothing in it that could end a line or a quotation.

use std::fmt::{self, Display, Write as _};

use crate::limits::MAX_SHOWN;

/// At most [`MAX_SHOWN`] characters; control characters are escaped, and the backtick that messages quote with becomes `'`.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, c) in self.0.chars().enumerate() {
            match c {
                _ if n == MAX_SHOWN => return f.write_char('…'),
                '`' => f.write_char('\'')?,
                c if c.is_control() || is_invisible(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Line and paragraph separators, direction marks and the like: not control characters, yet able to disguise a log line.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policys_text_can_neither_break_a_line_nor_a_quotation() {
        assert_eq!(Shown("a\nb`c\u{202e}d\u{61c}e\u{2060}").to_string(), "a\\nb'c\\u{202e}d\\u{61c}e\\u{2060}");
        assert_eq!(Shown("中文").to_string(), "中文");
        assert_eq!(Shown(&"x".repeat(500)).to_string().chars().count(), MAX_SHOWN + 1);
    }
}
