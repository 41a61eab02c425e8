//! The records as they are stored: JSON, each with its version.
//!
//! What this is: the form on disk and nothing else. A field that is added later has a default, so that
//! an older record still reads; one that means something new gets a new version.

use std::collections::BTreeMap;

use catharsis_core::clock::UnixMillis;
use catharsis_core::record::{Change, Record, RecordKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;

/// A kind of record: its word, and how an id is written.
pub trait Kind: Serialize + DeserializeOwned {
    /// The word under which the store keeps it.
    const KIND: &'static str;
}

/// The version that is written before each record.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// The name of a record.
#[must_use]
pub fn key<T: Kind>(id: &str) -> RecordKey {
    RecordKey { kind: T::KIND.into(), id: id.into() }
}

/// The change that keeps a record.
///
/// # Panics
/// Never: records have text keys and finite numbers.
#[must_use]
pub fn put<T: Kind>(id: &str, record: &T) -> Change {
    let value = serde_json::to_string(&Written { v: VERSION, record }).expect("a record is plain data");
    Change::Put(Record { key: key::<T>(id), value: value.into() })
}

/// The change that forgets a record.
#[must_use]
pub fn delete<T: Kind>(id: &str) -> Change {
    Change::Delete(key::<T>(id))
}

/// Reads a record.
///
/// # Errors
/// [`RegistryError::Damaged`].
pub fn read<T: Kind>(record: &Record) -> Result<T, RegistryError> {
    let damaged =
        |why: String| RegistryError::Damaged { kind: record.key.kind.to_string(), id: record.key.id.to_string(), why };
    let Version { v } = serde_json::from_str(&record.value).map_err(|error| damaged(error.to_string()))?;
    if v != VERSION {
        return Err(damaged(format!("it has version {v}, this program knows {VERSION}")));
    }
    serde_json::from_str(&record.value).map_err(|error| damaged(error.to_string()))
}

macro_rules! kinds {
    ($($kind:literal => $name:ident,)+) => {
        $(impl Kind for $name { const KIND: &'static str = $kind; })+
    };
}

kinds! {
    "account" => AccountRecord,
    "user" => UserRecord,
    "key" => KeyRecord,
    "policy" => PolicyRecord,
    "attachment" => AttachmentRecord,
    "domain" => DomainRecord,
    "quota" => QuotaRecord,
    "webhook" => WebhookRecord,
    "seed" => SeedRecord,
    "counter" => CounterRecord,
}

/// A root account; the id is its number (`uin`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// `AccountState` by name.
    pub state: String,
    /// Items in one call, by kind of quota; absent: the default.
    #[serde(default)]
    pub per_call: BTreeMap<String, u32>,
    /// Items a day in each area, by kind of quota; absent: the default.
    #[serde(default)]
    pub per_day: BTreeMap<String, u32>,
    /// Calls a second and action; absent: the default.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
    /// Domains; absent: the default.
    #[serde(default)]
    pub domains_max: Option<u32>,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub created_at: u64,
}

/// A user (sub-account) of a root account; the id is its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The root account's number.
    pub account: u64,
    /// Its name, unique within its account.
    pub name: String,
    /// Whether its keys work.
    pub enabled: Switch,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub created_at: u64,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// A key pair; the id is its public half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The root account or user that signs with it.
    pub principal: u64,
    /// The secret half, sealed for `key/<id>`.
    pub secret: String,
    /// Whether it works.
    pub enabled: Switch,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Only for a temporary pair: what goes with it.
    #[serde(default)]
    pub temporary: Option<Temporary>,
}

/// What makes a key pair temporary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temporary {
    /// Milliseconds since 1970.
    pub expires_at: u64,
    /// SHA-256 of its token, hex.
    pub token_sha256: String,
}

impl Temporary {
    /// Whether pair and token work no more.
    #[must_use]
    pub const fn has_ended(&self, now: UnixMillis) -> bool {
        self.expires_at <= now.0
    }
}

/// A policy of an account; the id is `<account>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// As it was written.
    pub document: String,
}

/// A policy that a user has; the id is `<user>/<policy>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRecord {}

/// A domain; the id is its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRecord {
    /// The root account's number.
    pub account: u64,
    /// `mainland`, `overseas` or `global`.
    pub area: String,
    /// `DomainStatus` by name.
    pub status: String,
    /// The contract's word.
    pub service_type: String,
    /// The contract's number.
    #[serde(default)]
    pub project_id: i64,
    /// Where edges fetch it; absent: as their own files say.
    #[serde(default)]
    pub origin: Option<OriginRecord>,
    /// What its caches take for the same resource, in the words of `KeyRules::parse`; absent: the default.
    #[serde(default)]
    pub key_rules: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Milliseconds since 1970.
    pub updated_at: u64,
    /// The generation that brought its last change: edges below it do not know it yet.
    #[serde(default)]
    pub changed_in: u64,
}

/// Where a domain is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecord {
    /// Each `host[:port[:weight]]`, as written.
    pub origins: Vec<String>,
    /// The contract's word.
    pub origin_type: String,
    /// The `Host` that is sent; absent: that of the request.
    #[serde(default)]
    pub server_name: Option<String>,
    /// `http`, `https` or `follow`.
    pub pull_protocol: String,
}

/// A quota of an account that differs from the account's own; the id is
/// `<account>/<kind>/<area>/<from>-<to>`, or `…/permanent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRecord {
    /// Items a day.
    pub total: u32,
    /// First and last quota day; absent: permanent.
    #[serde(default)]
    pub days: Option<(u32, u32)>,
}

/// An endpoint that is told when tasks end; the id is `<account>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRecord {
    /// Where.
    pub url: String,
    /// The signing secret, sealed for `webhook/<id>`.
    pub secret: String,
    /// Milliseconds since 1970.
    pub created_at: u64,
}

/// What a configuration file has seeded once; the id is `<kind>/<id>` of that record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedRecord {}

/// The highest number that was ever given to an account or user; the id is [`COUNTER`]. A number is not
/// given twice: whoever came later would find the history and the used quota of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRecord {
    /// The number.
    pub last: u64,
}

/// The id of the only counter.
pub const COUNTER: &str = "uin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_read_back_and_other_versions_are_refused() {
        let user = UserRecord { account: 1, name: "a\"b".into(), enabled: Switch::Disabled, created_at: 5 };
        let Change::Put(record) = put("7", &user) else { panic!("a put") };
        assert_eq!(read::<UserRecord>(&record).expect("ours"), user);
        let later = Record { value: record.value.replace("\"v\":1", "\"v\":2").into(), ..record };
        assert!(matches!(read::<UserRecord>(&later), Err(RegistryError::Damaged { .. })));
    }
}
