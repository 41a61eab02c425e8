//! A raw request as a table writes it, and the way it goes through the crate.

use bytes::Bytes;
use catharsis_tcapi::call::VerifyRules;
use catharsis_tcapi::params::Params;
use catharsis_tcapi::tc3::UnsignedPayload;
use catharsis_tcapi::{Call, ErrorCode, Language, RequestParts, SecretKey, WireError};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A request on the wire, the key that should verify it, and the server's clock.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) secret: String,
    pub(crate) now: i64,
    pub(crate) product: String,
    pub(crate) authority: Option<String>,
    pub(crate) unsigned_payload: UnsignedPayload,
}

impl Wire {
    pub(crate) fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name));
        &mut found.unwrap_or_else(|| panic!("the request has no header {name}")).1
    }

    /// The vector with one part changed.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Wire)) -> Wire {
        let mut other = self.clone();
        change(&mut other);
        assert_ne!(format!("{self:?}"), format!("{other:?}"), "the change changes something");
        other
    }

    /// Parses, checks time and signature, and hands the parameters to `then`.
    pub(crate) fn verified<T>(&self, then: impl FnOnce(&Call, Params<'_>) -> T) -> Result<T, WireError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        let body = Bytes::from(self.body.clone());
        let query = self.query.as_deref();
        let parts = RequestParts {
            method: &self.method,
            path: &self.path,
            query,
            authority: self.authority.as_deref(),
            headers: &headers,
            body: &body,
        };
        let early = Language::of_parts(&parts);
        let call = Call::parse(&parts)?;
        assert_eq!(early, call.language(), "an error before parsing and one after it are told in one language");
        let rules = VerifyRules { product: &self.product, unsigned_payload: self.unsigned_payload };
        let verified = call.timely(self.now)?.verify(&SecretKey::new(self.secret.clone()), rules)?;
        Ok(then(verified.call(), verified.params()?))
    }

    pub(crate) fn accepted(&self) -> Result<(), WireError> {
        self.verified(|_, _| ())
    }

    pub(crate) fn refusal(&self) -> ErrorCode {
        self.accepted().expect_err(&format!("refused: {self:?}")).code
    }
}
