//! Patterns of actions: `cdn:PurgeUrlsCache`, `cdn:Describe*`, `cdn:*`, `*`.
//!
//! No page says whether the case of letters counts. It is ignored here: a deny that is written `cdn:purgeurlscache` then denies, and an allow grants
//! nothing but what it visibly names. The older prefixes `name/` and `actionName/`, and blanks around the name as the samples have them
//! (`cos: DeleteBucketPolicy`), are dropped.

use crate::error::Problem;
use crate::shown::Shown;
use crate::wildcard;

/// Which actions a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionPattern {
    text: Box<str>,
    lower: Box<str>,
}

impl ActionPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::Action(Shown(text).to_string());
        let whole = text.trim();
        let bare = whole.strip_prefix("name/").or_else(|| whole.strip_prefix("actionName/")).unwrap_or(whole).trim();
        if wildcard::is_everything(bare) {
            return Ok(Self::of(bare));
        }
        let (service, name) = bare.split_once(':').ok_or_else(refused)?;
        let (service, name) = (service.trim_end(), name.trim_start());
        let wrong = |part: &str| part.is_empty() || !part.bytes().all(is_part);
        if wrong(service) || wrong(name) {
            return Err(refused());
        }
        Ok(Self::of(&format!("{service}:{name}")))
    }

    fn of(text: &str) -> Self {
        Self { text: text.into(), lower: text.to_ascii_lowercase().into() }
    }

    /// The pattern without prefix and blanks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `action` is in lower case.
    pub(crate) fn matches(&self, action: &[u8]) -> bool {
        wildcard::matches(&self.lower, action)
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_documents_say() {
        for pattern in [
            "*",
            "*:*",
            "cdn:*",
            "cdn:PurgeUrlsCache",
            "cdn:Purge*",
            "cdn:*Urls*",
            "name/cdn:PurgeUrlsCache",
            "actionName/cdn:Purge*",
            " cdn: PurgeUrlsCache ",
            "cdn:purgeurlscache",
            "c*:*Cache",
        ] {
            let action = ActionPattern::parse(pattern).expect(pattern);
            assert!(action.matches(b"cdn:purgeurlscache"), "{pattern}");
        }
        for pattern in ["cdn:PurgeUrls", "cdn:Describe*", "ecdn:*", "cdn:PurgeUrlsCacheX", "*:Push*", "permid:*"] {
            let action = ActionPattern::parse(pattern).expect(pattern);
            assert!(!action.matches(b"cdn:purgeurlscache"), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_action_is_refused() {
        for text in
            ["", " ", "cdn", "PurgeUrlsCache", "cdn:", ":*", "cdn:a:b", "cdn:Purge Urls", "cdn:P\u{fc}rge", "x/cdn:*"]
        {
            assert!(matches!(ActionPattern::parse(text), Err(Problem::Action(_))), "{text}");
        }
    }
}
