//! What a caller may say of a call besides its contents: repeat it safely, try it, be told of its end. Beyond the contract.
//!
//! No official client sends these parameters; absent, nothing differs from the contract.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use super::param_error;
use crate::code::WireError;
use crate::limits::{MAX_CLIENT_TOKEN, MAX_WEBHOOK_NAME};
use crate::params::{ParamError, Params};

/// The caller's name of one intention: the same token with the same contents is the same call. 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ClientToken(String);

impl ClientToken {
    /// Reads a token; `None` for a text that breaks the rule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_CLIENT_TOKEN).contains(&text.len());
        (fits && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a call is only tried: checked in full, answered with `DryRunOperation` where it would have succeeded, and nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DryRun {
    /// Carry it out; the default.
    #[default]
    Off,
    /// Only try it.
    On,
}

impl DryRun {
    const fn is_off(&self) -> bool {
        matches!(self, DryRun::Off)
    }
}

impl Serialize for DryRun {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(!self.is_off())
    }
}

/// The options of a call that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallOptions<'a> {
    /// `ClientToken`. Purges and prefetches only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<ClientToken>,
    /// `DryRun`.
    #[serde(skip_serializing_if = "DryRun::is_off")]
    pub dry_run: DryRun,
    /// `Webhook`: the name of an endpoint that the account has registered, 1 to 64 of `a-z0-9_-`; it is told when the task has ended. Purges and
    /// prefetches only: the domain actions do not know the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Cow<'a, str>>,
}

/// The parameters of a purge or prefetch.
pub(super) const TASK_OPTIONS: [&str; 3] = ["ClientToken", "DryRun", "Webhook"];

/// The parameter of a domain action. No `ClientToken`: a change of a domain has no task whose id a repeated call could be given, and the domain's
/// status tells a repetition from a first call.
pub(super) const DOMAIN_OPTIONS: [&str; 1] = ["DryRun"];

/// The options with their types right and their values not looked at yet.
pub(super) struct RawOptions<'a> {
    client_token: Option<Cow<'a, str>>,
    dry_run: Option<bool>,
    webhook: Option<Cow<'a, str>>,
}

impl<'a> RawOptions<'a> {
    pub(super) fn take(params: &mut Params<'a>) -> Result<Self, ParamError> {
        Ok(Self {
            client_token: params.text("ClientToken")?,
            dry_run: params.boolean("DryRun")?,
            webhook: params.text("Webhook")?,
        })
    }

    /// An empty text is refused, not taken as absent: a script's unset variable must not lose the protection that was asked for.
    pub(super) fn check(self) -> Result<CallOptions<'a>, WireError> {
        let client_token = self.client_token.map(|text| {
            ClientToken::parse(&text).ok_or_else(|| {
                param_error(
                    "ClientToken",
                    &format!("must be 1 to {MAX_CLIENT_TOKEN} visible ASCII characters"),
                    &format!("必须是 1 到 {MAX_CLIENT_TOKEN} 个可见的 ASCII 字符"),
                )
            })
        });
        let dry_run = if self.dry_run == Some(true) { DryRun::On } else { DryRun::Off };
        if self.webhook.as_deref().is_some_and(|name| !is_webhook_name(name)) {
            return Err(param_error(
                "Webhook",
                &format!("must be the name of an endpoint: 1 to {MAX_WEBHOOK_NAME} of a-z, 0-9, `_` and `-`"),
                &format!("必须是回调端点的名称：1 到 {MAX_WEBHOOK_NAME} 个 a-z、0-9、`_` 和 `-`"),
            ));
        }
        Ok(CallOptions { client_token: client_token.transpose()?, dry_run, webhook: self.webhook })
    }
}

fn is_webhook_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=MAX_WEBHOOK_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<CallOptions<'_>, WireError> {
        RawOptions::take(&mut Params::from_json(json.as_bytes())?)?.check()
    }

    #[test]
    fn absent_options_are_the_contract() {
        assert_eq!(read("{}"), Ok(CallOptions::default()));
        assert_eq!(read(r#"{"DryRun":false,"ClientToken":null}"#), Ok(CallOptions::default()));
        assert_eq!(serde_json::to_string(&CallOptions::default()).ok().as_deref(), Some("{}"));
    }

    #[test]
    fn options_are_read_as_they_are_written() {
        let text = r#"{"ClientToken":"8b1c6a80","DryRun":true,"Webhook":"on_call-1"}"#;
        let options = read(text).expect("valid options");
        assert_eq!((options.dry_run, options.webhook.as_deref()), (DryRun::On, Some("on_call-1")));
        assert_eq!(serde_json::to_string(&options).ok().as_deref(), Some(text));
    }

    #[test]
    fn an_option_that_cannot_be_kept_is_refused_by_name() {
        let long = format!(r#"{{"ClientToken":"{}"}}"#, "x".repeat(65));
        for (json, named) in [
            (r#"{"ClientToken":""}"#, "ClientToken"),
            (r#"{"ClientToken":"a b"}"#, "ClientToken"),
            (r#"{"ClientToken":"中"}"#, "ClientToken"),
            (long.as_str(), "ClientToken"),
            (r#"{"Webhook":""}"#, "Webhook"),
            (r#"{"Webhook":"https://a.example/"}"#, "Webhook"),
            (r#"{"DryRun":"true"}"#, "DryRun"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.message.contains(named), "{json}: {}", error.message);
        }
    }
}
