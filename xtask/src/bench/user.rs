//! A user with policies, written into the store before the server opens it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use catharsis_adapters::clock::SystemClock;
use catharsis_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use catharsis_core::account::Limits;
use catharsis_core::task::AccountId;
use catharsis_registry::snapshot::Principal;
use catharsis_registry::vault::{Absent, Vault};
use catharsis_registry::{Defaults, Registry};

use super::server::{Keys, database};

const ACCOUNT: AccountId = AccountId(1);

/// What a team writes: the domain's purges from the own network, and reading.
const POLICIES: [(&str, &str); 2] = [
    (
        "purge-from-here",
        r#"{"version":"2.0","statement":[{"effect":"allow","action":["cdn:Purge*","cdn:PushUrlsCache"],
            "resource":["qcs::cdn::uin/1:domain/www.bench.test"],
            "condition":{"ip_equal":{"qcs:ip":["10.0.0.0/8","127.0.0.0/8"]}}}]}"#,
    ),
    ("read", r#"{"version":"2.0","statement":[{"effect":"allow","action":"cdn:Describe*","resource":"*"}]}"#),
];

/// Makes the user and returns its keys. The account must be there: a server has run on this folder.
///
/// # Errors
/// When the store cannot be used.
pub(super) async fn create(folder: &Path) -> anyhow::Result<Keys> {
    let path = database(folder);
    let (store, _log) = SqliteStore::open(&path, SqliteOptions::default())?;
    let store = Arc::new(store);
    let mut key_file = path.into_os_string();
    key_file.push(".key");
    let vault = Vault::open(Path::new(&key_file), Absent::Refuse)?;
    let defaults = Defaults { limits: Limits::default(), requests_per_second: 1 };
    let shared: Arc<dyn catharsis_core::ports::Store> = Arc::clone(&store) as _;
    let registry = Registry::open(shared, Arc::new(SystemClock::new()), vault, defaults).await?;
    let user = registry.create_user(ACCOUNT, "bench").await.context("a user")?.value;
    for (name, document) in POLICIES {
        registry.put_policy(ACCOUNT, name, document).await.context(name)?;
        registry.attach_policy(user, name).await.context(name)?;
    }
    let key = registry.create_key(Principal(user)).await.context("a key")?.value;
    store.close().await;
    Ok(Keys { id: key.secret_id, secret: key.secret_key })
}
