//! The error as a client sees it: `Response.Error`, in the language that the client asked for.
//!
//! Only the code is contract. Invariant: the text exists in both languages, and both say the same things about the same places.

use std::borrow::Cow;

use crate::code::ErrorCode;
use crate::language::Language;

/// An error as it goes to the client: `Response.Error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct WireError {
    /// The contract.
    pub code: ErrorCode,
    /// Free text for people, English, one line; also what a log shows.
    pub message: String,
    /// The same in Chinese.
    chinese: Option<String>,
}

impl WireError {
    /// An error with this code and English text. Without [`WireError::with_chinese`], its Chinese text is the code's meaning with the English after it.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), chinese: None }
    }

    /// The same error with a Chinese text, one line, which has to name the same places and values as the English one.
    #[must_use]
    pub fn with_chinese(mut self, text: impl Into<String>) -> Self {
        self.chinese = Some(text.into());
        self
    }

    /// The text in a language.
    #[must_use]
    pub fn message(&self, language: Language) -> Cow<'_, str> {
        match (language, &self.chinese) {
            (Language::English, _) => Cow::Borrowed(&self.message),
            (Language::Chinese, Some(text)) => Cow::Borrowed(text),
            (Language::Chinese, None) => Cow::Owned(format!("{}（{}）", self.code.chinese(), self.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_translation_still_says_its_meaning_and_its_details_in_chinese() {
        let error = WireError::new(ErrorCode::CdnHostNotExists, "Urls.3: no domain `a.example`.");
        assert_eq!(error.message(Language::English), "Urls.3: no domain `a.example`.");
        assert_eq!(error.message(Language::Chinese), "账号下没有该域名。（Urls.3: no domain `a.example`.）");
        let error = error.with_chinese("Urls.3：没有域名 `a.example`。");
        assert_eq!(error.message(Language::Chinese), "Urls.3：没有域名 `a.example`。");
    }
}
