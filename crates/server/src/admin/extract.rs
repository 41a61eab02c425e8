//! What a request says: its path, its query and its fields, each refused in the API's own words.
//!
//! Invariant: a field that is not known is refused, so that a misspelt limit is not a limit that was
//! silently not set.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::error::{Code, Refusal};

/// Rows of one answer.
const PAGE_MAX: u32 = 1_000;

/// The variable segments of the path.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(it)| Self(it)).map_err(|why| Refusal::new(Code::InvalidRequest, why.body_text()))
    }
}

/// The query.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(it)| Self(it)).map_err(|why| Refusal::new(Code::InvalidRequest, why.body_text()))
    }
}

/// The fields of the body, a JSON object.
#[derive(Debug)]
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = bytes(request, state).await?;
        let wrong = |why: &dyn std::fmt::Display| Refusal::new(Code::InvalidRequest, format!("the body: {why}"));
        // serde would read a list as the fields in their order, too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(wrong(&"it must be a JSON object"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| wrong(&error))
    }
}

/// A body without fields: nothing, or `{}`.
#[derive(Debug)]
pub(super) struct NoFields;

impl<S: Send + Sync> FromRequest<S> for NoFields {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let body = bytes(request, state).await?;
        if body.is_empty() || serde_json::from_slice::<Nothing>(&body).is_ok() {
            return Ok(Self);
        }
        Err(Refusal::new(Code::InvalidRequest, "the body: this request has no fields"))
    }
}

/// The door has read and bounded the body before.
async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    let read = Bytes::from_request(request, state).await;
    read.map_err(|why| Refusal::new(Code::InvalidRequest, why.body_text()))
}

/// A field of which absence, `null` and a value mean three things: `None`, `Some(None)`, `Some(Some(_))`.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    field: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(field).map(Some)
}

/// A field that may be absent, but not `null`.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only rows behind the one of this number or name: `Next` of the part before.
    pub(super) after: Option<String>,
    /// Rows of this part, 1 to 1000 (default).
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
}

impl Page {
    /// The number behind which the part begins.
    pub(super) fn after_number(&self) -> Result<u64, Refusal> {
        match self.after.as_deref() {
            None => Ok(0),
            Some(text) => text.parse().map_err(|_| Refusal::invalid("after", "it must be a number")),
        }
    }

    /// The rows of this part, and where the next one begins.
    pub(super) fn cut<T>(
        &self,
        rows: impl Iterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> Result<(Vec<T>, Option<String>), Refusal> {
        let limit = limit(self.limit)?;
        let mut part: Vec<T> = rows.take(limit + 1).collect();
        let more = part.len() > limit;
        part.truncate(limit);
        let next = part.last().filter(|_| more).map(name);
        Ok((part, next))
    }
}

/// Rows of one answer.
pub(super) fn limit(asked: Option<u32>) -> Result<usize, Refusal> {
    match asked.unwrap_or(PAGE_MAX) {
        limit @ 1..=PAGE_MAX => Ok(limit as usize),
        _ => Err(Refusal::invalid("limit", format!("it must be from 1 to {PAGE_MAX}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_list_follow_each_other_without_gap_or_end() {
        let page = |limit| Page { after: None, limit: Some(limit) };
        let cut = |limit| page(limit).cut(1..=3, u32::to_string).ok();
        assert_eq!(cut(2), Some((vec![1, 2], Some("2".to_owned()))));
        assert_eq!(cut(3), Some((vec![1, 2, 3], None)));
        assert_eq!((cut(0), cut(1_001)), (None, None));
    }
}
