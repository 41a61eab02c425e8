//! The operator's credential.
//!
//! Invariant: it is not in memory, only its digest is; comparing takes the same time whatever was sent.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Who may come in.
pub(super) struct Credential {
    digest: [u8; 32],
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Credential {
    pub(super) fn new(token: &str) -> Self {
        Self { digest: Sha256::digest(token.as_bytes()).into() }
    }

    /// Whether a request has it: one `Authorization: Bearer …` (RFC 6750; the scheme in any case).
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(one), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, token)) = one.as_bytes().split_at_checked(b"Bearer ".len()) else { return false };
        // Digests are compared, so that the time does not tell the credential's length either.
        let sent: [u8; 32] = Sha256::digest(token).into();
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(sent.ct_eq(&self.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_header_with_exactly_the_credential_opens() {
        let credential = Credential::new("0123456789abcdef");
        let opens = |headers: &[&str]| {
            let named = headers.iter().map(|text| (AUTHORIZATION, text.parse().expect("a header's text")));
            credential.is_in(&named.collect())
        };
        assert!(opens(&["Bearer 0123456789abcdef"]) && opens(&["bearer 0123456789abcdef"]));
        for wrong in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdefg"],
            &["Bearer 0123456789ABCDEF"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!opens(wrong), "{wrong:?}");
        }
        assert!(!format!("{credential:?}").contains("0123"));
    }
}
