//! `CacheKey` of a domain: which URLs its caches take for the same one.
//!
//! What this is: the members that caches here can follow, read and checked; the others are refused unless they are switched off. What this is not: the
//! rules that follow from it; that is its user's business.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::words::{Word, words};
use super::{param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::params::{Param, ParamError, Params};
use crate::text::shown;

/// Names in `QueryString.Value`, and bytes of each.
const NAMES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 128;

words! {
    /// A switch.
    KeySwitch {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

words! {
    /// Which parameters of the query count.
    QueryAction {
        /// All.
        IncludeAll = "includeAll",
        /// None.
        ExcludeAll = "excludeAll",
        /// Those that are named.
        IncludeCustom = "includeCustom",
        /// Those that are not named.
        ExcludeCustom = "excludeCustom",
    }
}

/// Which URLs a domain's caches take for the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CacheKey<'a> {
    /// Whether the whole URL counts; `off` leaves the query out, but for what `query_string` says.
    pub full_url_cache: KeySwitch,
    /// Whether letters of both cases are the same.
    pub ignore_case: KeySwitch,
    /// What counts of the query.
    pub query_string: KeyQueryString<'a>,
    /// Whether http and https are told apart.
    pub scheme: KeyScheme,
}

/// What counts of the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyQueryString<'a> {
    /// Whether this says anything.
    pub switch: KeySwitch,
    /// Whether parameters are put into order first.
    pub reorder: KeySwitch,
    /// Which count.
    pub action: QueryAction,
    /// Names with `;` between them, for the two custom actions; each fits a cache's configuration as it is.
    pub value: Cow<'a, str>,
}

/// Whether http and https are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyScheme {
    /// Whether they are.
    pub switch: KeySwitch,
}

impl KeyQueryString<'_> {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.value.split(';').filter(|name| !name.is_empty())
    }
}

/// The members with their types right and their values not looked at yet.
pub(super) struct RawCacheKey<'a> {
    full_url_cache: Option<Cow<'a, str>>,
    ignore_case: Option<Cow<'a, str>>,
    query_string: Option<RawQueryString<'a>>,
    scheme: Option<Cow<'a, str>>,
    /// What caches here cannot follow, by name.
    others: Vec<(&'static str, Param<'a>)>,
}

struct RawQueryString<'a> {
    switch: Option<Cow<'a, str>>,
    reorder: Option<Cow<'a, str>>,
    action: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
}

impl<'a> RawCacheKey<'a> {
    pub(super) fn take(params: &mut Params<'a>) -> Result<Self, ParamError> {
        let others = ["Cookie", "Header", "CacheTag", "KeyRules"];
        params.only(&[&["FullUrlCache", "IgnoreCase", "QueryString", "Scheme"][..], &others].concat())?;
        let query_string = params.object("QueryString")?.map(|mut query| {
            query.only(&["Switch", "Reorder", "Action", "Value"])?;
            let mut text = |name| query.text(name).map(given);
            Ok::<_, ParamError>(RawQueryString {
                switch: text("Switch")?,
                reorder: text("Reorder")?,
                action: text("Action")?,
                value: text("Value")?,
            })
        });
        let scheme = params.object("Scheme")?.map(|mut scheme| {
            scheme.only(&["Switch", "Value"])?;
            scheme.text("Switch").map(given)
        });
        Ok(Self {
            full_url_cache: given(params.text("FullUrlCache")?),
            ignore_case: given(params.text("IgnoreCase")?),
            query_string: query_string.transpose()?,
            scheme: scheme.transpose()?.flatten(),
            others: others.into_iter().filter_map(|name| Some((name, params.any(name)?))).collect(),
        })
    }

    pub(super) fn check(self) -> Result<CacheKey<'a>, WireError> {
        if let Some((name, _)) = self.others.iter().find(|(_, value)| !is_off(value)) {
            return Err(param_error(
                &format!("CacheKey.{name}"),
                "is not offered: caches here tell copies apart by URL and Vary",
                "不支持：节点按 URL 和 Vary 区分缓存",
            ));
        }
        let query_string = query_string(self.query_string)?;
        let full_url_cache = switch("CacheKey.FullUrlCache", self.full_url_cache.as_ref(), KeySwitch::On)?;
        let says_full = self.full_url_cache.is_some() && full_url_cache == KeySwitch::On;
        if says_full && query_string.switch == KeySwitch::On && query_string.action != QueryAction::IncludeAll {
            return Err(param_error(
                "CacheKey.QueryString",
                "leaves parameters out while FullUrlCache is `on`: switch one of them off",
                "忽略了参数，但 FullUrlCache 为 `on`：请关闭其中一个",
            ));
        }
        Ok(CacheKey {
            full_url_cache,
            ignore_case: switch("CacheKey.IgnoreCase", self.ignore_case.as_ref(), KeySwitch::Off)?,
            query_string,
            scheme: KeyScheme { switch: switch("CacheKey.Scheme.Switch", self.scheme.as_ref(), KeySwitch::Off)? },
        })
    }
}

/// An empty text says nothing.
fn given(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|text| !text.is_empty())
}

fn switch(name: &str, text: Option<&Cow<'_, str>>, default: KeySwitch) -> Result<KeySwitch, WireError> {
    text.map_or(Ok(default), |text| word(name, text))
}

fn query_string(raw: Option<RawQueryString<'_>>) -> Result<KeyQueryString<'_>, WireError> {
    let (off, value) = (KeySwitch::Off, Cow::Borrowed(""));
    let Some(raw) = raw else {
        return Ok(KeyQueryString { switch: off, reorder: off, action: QueryAction::IncludeAll, value });
    };
    let built = KeyQueryString {
        switch: switch("CacheKey.QueryString.Switch", raw.switch.as_ref(), off)?,
        reorder: switch("CacheKey.QueryString.Reorder", raw.reorder.as_ref(), off)?,
        action: raw.action.map_or(Ok(QueryAction::IncludeAll), |text| word("CacheKey.QueryString.Action", &text))?,
        value: raw.value.unwrap_or(value),
    };
    let needs_names = match built.action {
        QueryAction::IncludeAll | QueryAction::ExcludeAll => false,
        QueryAction::IncludeCustom | QueryAction::ExcludeCustom => built.switch == KeySwitch::On,
    };
    let count = built.names().count();
    let fits = |name: &str| {
        name.len() <= NAME_BYTES_MAX
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'%'))
    };
    let wrong = built.names().find(|name| !fits(name));
    if count > NAMES_MAX || wrong.is_some() || (needs_names && count == 0) {
        let said = shown(wrong.unwrap_or(&built.value));
        let text = format!(
            "The parameter `CacheKey.QueryString.Value` must be 1 to {NAMES_MAX} names with `;` between them, each of letters, digits, `-`, `_`, `.`, `~` and `%`, and is `{said}`."
        );
        let chinese = format!(
            "参数 `CacheKey.QueryString.Value` 必须是 1 到 {NAMES_MAX} 个以 `;` 分隔的名称，只能包含字母、数字、`-`、`_`、`.`、`~` 和 `%`，现为 `{said}`。"
        );
        return Err(WireError::new(ErrorCode::CdnKeyRulesInvalidQueryStringValue, text).with_chinese(chinese));
    }
    Ok(built)
}

/// Nothing, or a structure that is not switched on.
fn is_off(value: &Param<'_>) -> bool {
    match value {
        Param::Null => true,
        Param::List(list) => list.is_empty(),
        Param::Str(text) => text.is_empty(),
        Param::Object(members) => {
            !members.iter().any(|(name, value)| name == "Switch" && matches!(value, Param::Str(word) if word == "on"))
        }
        Param::Bool(_) | Param::Int(_) | Param::Float(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Result<String, WireError> {
        let text = value.to_string();
        let mut params = Params::from_json(text.as_bytes()).expect("valid JSON");
        let key = RawCacheKey::take(&mut params).map_err(WireError::from)?.check()?;
        let names: Vec<&str> = key.query_string.names().collect();
        let (query, action) = (key.query_string.switch.as_str(), key.query_string.action.as_str());
        let reorder = key.query_string.reorder.as_str();
        let (full, case, scheme) = (key.full_url_cache.as_str(), key.ignore_case.as_str(), key.scheme.switch.as_str());
        Ok(format!("full {full} case {case} scheme {scheme} query {query} {action} {names:?} {reorder}"))
    }

    #[test]
    fn members_are_read_with_their_defaults() {
        for (value, expect) in [
            (json!({}), "full on case off scheme off query off includeAll [] off"),
            (
                json!({"FullUrlCache": "off", "IgnoreCase": "on"}),
                "full off case on scheme off query off includeAll [] off",
            ),
            (
                json!({"FullUrlCache": "off", "QueryString": {"Switch": "on", "Action": "includeCustom", "Value": "id;v"}, "Scheme": {"Switch": "on"}}),
                "full off case off scheme on query on includeCustom [\"id\", \"v\"] off",
            ),
            (
                json!({"QueryString": {"Switch": "on", "Reorder": "on", "Action": "excludeCustom", "Value": "sid"}, "Cookie": {"Switch": "off"}, "KeyRules": []}),
                "full on case off scheme off query on excludeCustom [\"sid\"] on",
            ),
        ] {
            assert_eq!(read(&value).as_deref(), Ok(expect), "{value}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (value, name, code) in [
            (json!({"FullUrlCache": "yes"}), "FullUrlCache", ErrorCode::CdnParamError),
            (json!({"Header": {"Switch": "on"}}), "CacheKey.Header", ErrorCode::CdnParamError),
            (json!({"KeyRules": [{"RuleType": "file"}]}), "CacheKey.KeyRules", ErrorCode::CdnParamError),
            (
                json!({"FullUrlCache": "on", "QueryString": {"Switch": "on", "Action": "excludeAll"}}),
                "CacheKey.QueryString",
                ErrorCode::CdnParamError,
            ),
            (
                json!({"QueryString": {"Switch": "on", "Action": "includeCustom"}}),
                "Value",
                ErrorCode::CdnKeyRulesInvalidQueryStringValue,
            ),
            (
                json!({"QueryString": {"Switch": "on", "Action": "includeCustom", "Value": "a;b c"}}),
                "b c",
                ErrorCode::CdnKeyRulesInvalidQueryStringValue,
            ),
            (json!({"Zone": "on"}), "Zone", ErrorCode::UnknownParameter),
            (json!({"QueryString": "on"}), "QueryString", ErrorCode::InvalidParameter),
        ] {
            let error = read(&value).expect_err(name);
            assert!(error.code == code && error.message.contains(name), "{value}: {error}");
        }
    }
}
