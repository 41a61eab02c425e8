//! What the lists of purges and of prefetches have in common: which tasks, which URL or domain, where, which page.
//!
//! An empty text counts as an absent filter, since forms and scripts send such; a purge, where that could do more than was meant, refuses it instead.

use std::borrow::Cow;

use serde::ser::SerializeMap;

use super::{TaskArea, count, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::limits::{MAX_KEYWORD, MAX_OFFSET, MAX_PAGE};
use crate::params::{ParamError, Params};
use crate::time::{format_utc8, parse_utc8};

/// Rows of a page whose size is not given.
pub(super) const DEFAULT_LIMIT: u32 = 20;

/// The parameters that [`TaskQuery::read`] takes.
pub(super) const NAMES: [&str; 7] = ["StartTime", "EndTime", "TaskId", "Offset", "Limit", "Keyword", "Area"];

/// Which tasks: the contract wants a task or a beginning, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskFilter<'a> {
    /// One task, opaque text; an unknown one gives no rows, and no error. Perhaps within a span of time.
    Task(Cow<'a, str>, Option<Span>),
    /// All tasks created within a span of time.
    Created(Span),
}

/// A span of creation times, Unix seconds, both ends included, `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// `None`: from the first kept row.
    pub start: Option<i64>,
    /// `None`: until now.
    pub end: Option<i64>,
}

/// Which URL or domain, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyword<'a> {
    /// A domain's name.
    Domain(Cow<'a, str>),
    /// A whole URL, beginning with `http://` or `https://`.
    Url(Cow<'a, str>),
}

impl Keyword<'_> {
    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Keyword::Domain(text) | Keyword::Url(text) => text,
        }
    }
}

/// The common parameters, read and checked.
pub(super) struct TaskQuery<'a> {
    pub(super) tasks: TaskFilter<'a>,
    pub(super) keyword: Option<Keyword<'a>>,
    pub(super) area: Option<TaskArea>,
    pub(super) offset: u32,
    pub(super) limit: u32,
}

impl<'a> TaskQuery<'a> {
    /// All types before any value, so that what is refused does not depend on the order of the checks.
    pub(super) fn read(params: &mut Params<'a>) -> Result<Self, WireError> {
        let (start, end, task_id) = (given(params, "StartTime")?, given(params, "EndTime")?, given(params, "TaskId")?);
        let (keyword, area) = (given(params, "Keyword")?, given(params, "Area")?);
        let (offset, limit) = (params.int("Offset")?, params.int("Limit")?);
        let span = Span { start: time("StartTime", start)?, end: time("EndTime", end)? };
        Ok(Self {
            tasks: tasks(task_id, span)?,
            keyword: keyword.map(self::keyword).transpose()?,
            area: area.map(|text| word("Area", &text)).transpose()?,
            offset: count("Offset", offset.unwrap_or(0), 0, MAX_OFFSET)?,
            limit: count("Limit", limit.unwrap_or(i64::from(DEFAULT_LIMIT)), 1, MAX_PAGE)?,
        })
    }
}

/// A filter's text; an empty one is none.
pub(super) fn given<'a>(params: &mut Params<'a>, name: &str) -> Result<Option<Cow<'a, str>>, ParamError> {
    Ok(params.text(name)?.filter(|text| !text.is_empty()))
}

fn too_long(name: &str) -> WireError {
    param_error(name, &format!("is longer than {MAX_KEYWORD} bytes"), &format!("超过 {MAX_KEYWORD} 字节"))
}

fn time(name: &str, text: Option<Cow<'_, str>>) -> Result<Option<i64>, WireError> {
    text.map(|text| parse_utc8(&text).map_err(|why| param_error(name, &why.to_string(), why.chinese()))).transpose()
}

fn tasks(task_id: Option<Cow<'_, str>>, span: Span) -> Result<TaskFilter<'_>, WireError> {
    if let (Some(start), Some(end)) = (span.start, span.end)
        && end < start
    {
        return Err(param_error("EndTime", "is before StartTime", "早于 StartTime"));
    }
    match task_id {
        Some(id) if id.len() > MAX_KEYWORD => Err(too_long("TaskId")),
        Some(id) => Ok(TaskFilter::Task(id, (span.start.is_some() || span.end.is_some()).then_some(span))),
        None if span.start.is_some() => Ok(TaskFilter::Created(span)),
        None => Err(WireError::new(ErrorCode::CdnParamError, "Either `TaskId` or `StartTime` must be given.")
            .with_chinese("`TaskId` 和 `StartTime` 必须至少给出一个。")),
    }
}

fn keyword(text: Cow<'_, str>) -> Result<Keyword<'_>, WireError> {
    if text.len() > MAX_KEYWORD {
        return Err(too_long("Keyword"));
    }
    let begins_with = |scheme: &str| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    if begins_with("http://") || begins_with("https://") {
        Ok(Keyword::Url(text))
    } else if text.contains(['/', ' ']) {
        Err(param_error(
            "Keyword",
            "must be a domain, or a URL that begins with `http://` or `https://`",
            "必须是域名，或以 `http://` 或 `https://` 开头的 URL",
        ))
    } else {
        Ok(Keyword::Domain(text))
    }
}

/// Writes the tasks, the times and the page into a request.
pub(super) fn write<M: SerializeMap>(
    map: &mut M,
    tasks: &TaskFilter<'_>,
    words: &[(&str, Option<&str>)],
    page: (u32, u32),
) -> Result<(), M::Error> {
    let span = match tasks {
        TaskFilter::Task(id, span) => {
            map.serialize_entry("TaskId", id)?;
            *span
        }
        TaskFilter::Created(span) => Some(*span),
    };
    let (start, end) = span.map_or((None, None), |span| (span.start, span.end));
    for (name, time) in [("StartTime", start), ("EndTime", end)] {
        if let Some(time) = time {
            map.serialize_entry(name, &format_utc8(time))?;
        }
    }
    for (name, text) in words {
        if let Some(text) = text {
            map.serialize_entry(name, text)?;
        }
    }
    map.serialize_entry("Offset", &page.0)?;
    map.serialize_entry("Limit", &page.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_a_domain_or_a_whole_url() {
        let of = |text: &str| keyword(Cow::Owned(text.to_owned())).map(|k| matches!(k, Keyword::Url(_)));
        assert_eq!(of("HTTPS://a.example/x y"), Ok(true));
        assert_eq!(of("a.example"), Ok(false));
        assert!(of("a example").is_err());
    }
}
