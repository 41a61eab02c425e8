//! How the URLs of a task are fetched, as one text.
//!
//! What this is: JSON with a version, so that a later program can tell what an earlier one wrote. What is
//! read back is parsed by the rules of today: nothing reaches a request that they would refuse.

use catharsis_core::domain::DomainName;
use catharsis_core::error::StoreError;
use catharsis_core::push::{How, Links, Playlist, PushFields, UserAgent};
use catharsis_core::target::Encode;
use serde_json::{Value, json};

use crate::store::sqlite::schema::damaged;

const VERSION: u64 = 1;

pub(super) fn encode(how: &How) -> String {
    let fields: Vec<[&str; 2]> = how.fields.iter().map(|field| [field.name(), field.value()]).collect();
    let links = match &how.links {
        Links::Account => Value::Null,
        Links::Among(domains) => domains.iter().map(ToString::to_string).collect(),
    };
    let expand = match how.playlist {
        Playlist::AsIs => false,
        Playlist::Expand => true,
    };
    json!({ "v": VERSION, "ua": how.user_agent.as_str(), "fields": fields, "expand": expand, "links": links })
        .to_string()
}

pub(super) fn decode(text: &str, encode: Encode) -> Result<How, StoreError> {
    read(text, encode).ok_or_else(|| damaged("how a prefetch is made"))
}

fn read(text: &str, encode: Encode) -> Option<How> {
    let value: Value = serde_json::from_str(text).ok()?;
    if value.get("v")?.as_u64()? != VERSION {
        return None;
    }
    let pair = |field: &Value| Some((field.get(0)?.as_str()?.to_owned(), field.get(1)?.as_str()?.to_owned()));
    let fields: Vec<(String, String)> = value.get("fields")?.as_array()?.iter().map(pair).collect::<Option<_>>()?;
    let domain = |name: &Value| DomainName::parse(name.as_str()?).ok();
    Some(How {
        encode,
        user_agent: UserAgent::parse(value.get("ua")?.as_str()?).ok()?,
        fields: PushFields::parse(fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))).ok()?,
        playlist: if value.get("expand")?.as_bool()? { Playlist::Expand } else { Playlist::AsIs },
        links: match value.get("links")?.as_array() {
            Some(domains) => Links::Among(domains.iter().map(domain).collect::<Option<_>>()?),
            None => value.get("links")?.is_null().then_some(Links::Account)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let domains = ["a.test", "*.b.test"].map(|name| DomainName::parse(name).expect("a name"));
        for links in [Links::Account, Links::Among(domains.into())] {
            let how = How {
                encode: Encode::PercentEncode,
                user_agent: UserAgent::parse("a \"b\"").expect("printable"),
                fields: PushFields::parse([("X-A", "1, \\2"), ("X-B", "")]).expect("valid"),
                playlist: Playlist::Expand,
                links,
            };
            assert_eq!(decode(&encode(&how), Encode::PercentEncode), Ok(how));
        }
    }

    #[test]
    fn field_that_may_no_longer_be_sent_is_damage() {
        for text in ["", "{}", r#"{"v":1,"ua":"a","fields":[["Host","b"]],"expand":false,"links":null}"#] {
            assert!(decode(text, Encode::AsSubmitted).is_err(), "{text}");
        }
    }
}
