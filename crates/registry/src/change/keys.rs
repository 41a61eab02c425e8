//! Key pairs, lasting and temporary.

use catharsis_core::clock::UnixMillis;
use catharsis_core::record::Change;
use sha2::{Digest, Sha256};

use super::{not_found, random_text};
use crate::error::RegistryError;
use crate::record::{KeyRecord, Switch, Temporary, delete, put};
use crate::registry::{Done, Registry};
use crate::snapshot::{Principal, Snapshot};

/// Lasting pairs of a principal, so that one can be replaced while the other works; the contract's number.
const KEYS_MAX: usize = 2;

/// Temporary pairs of a principal that work at once.
const TOKENS_MAX: usize = 1_000;

/// Longest life of a temporary pair, seconds: the 36 hours of the vendor's `GetFederationToken` for users.
pub const TOKEN_SECONDS_MAX: u64 = 36 * 3_600;

/// A pair that was just made: the only time that its secret half is shown.
#[derive(Clone)]
pub struct NewKey {
    /// The public half.
    pub secret_id: String,
    /// The secret half.
    pub secret_key: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("secret_id", &self.secret_id).finish_non_exhaustive()
    }
}

/// A temporary pair that was just made.
#[derive(Clone)]
pub struct NewToken {
    /// The pair.
    pub key: NewKey,
    /// What has to be sent with each call.
    pub token: String,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("key", &self.key).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// The digest under which a token is kept.
#[must_use]
pub fn token_digest(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Registry {
    /// Makes a key pair of a root account or user.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::TooMany`].
    pub async fn create_key(&self, principal: Principal) -> Result<Done<NewKey>, RegistryError> {
        let new = NewKey { secret_id: format!("AKID{}", random_text(32)), secret_key: random_text(32) };
        let put = self.sealed(principal, &new, None);
        self.update(|snapshot| {
            check_principal(snapshot, principal)?;
            if snapshot.keys_of(principal).count() >= KEYS_MAX {
                return Err(RegistryError::TooMany { what: "key pairs of one account or user", limit: KEYS_MAX });
            }
            Ok((vec![put.clone()], new.clone()))
        })
        .await
    }

    /// Makes a temporary pair of a root account or user; it works for so many seconds.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Invalid`], [`RegistryError::TooMany`].
    pub async fn create_token(&self, principal: Principal, seconds: u64) -> Result<Done<NewToken>, RegistryError> {
        if !(1..=TOKEN_SECONDS_MAX).contains(&seconds) {
            let why = format!("it must be from 1 to {TOKEN_SECONDS_MAX}");
            return Err(RegistryError::Invalid { field: "DurationSeconds", why });
        }
        let now = self.now();
        let expires_at = now.0 + seconds * 1_000;
        let key = NewKey { secret_id: format!("AKID{}", random_text(60)), secret_key: random_text(32) };
        let token = random_text(96);
        let temporary = Temporary { expires_at, token_sha256: token_digest(&token) };
        let put = self.sealed(principal, &key, Some(temporary));
        self.update(|snapshot| {
            check_principal(snapshot, principal)?;
            let mut changes = expired(snapshot, now);
            let of_principal = |it: &&crate::snapshot::Key| {
                it.principal == principal && it.record.temporary.as_ref().is_some_and(|it| !it.has_ended(now))
            };
            if snapshot.keys.values().filter(of_principal).count() >= TOKENS_MAX {
                return Err(RegistryError::TooMany { what: "temporary key pairs at once", limit: TOKENS_MAX });
            }
            changes.push(put.clone());
            Ok((changes, NewToken { key: key.clone(), token: token.clone(), expires_at }))
        })
        .await
    }

    /// Switches a key pair on or off.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn switch_key(&self, secret_id: &str, enabled: Switch) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            let key = snapshot.keys.get(secret_id).ok_or_else(|| not_found("key", secret_id))?;
            let record = KeyRecord { enabled, ..key.record.clone() };
            Ok((vec![put(secret_id, &record)], ()))
        })
        .await
    }

    /// Deletes a key pair.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn delete_key(&self, secret_id: &str) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| match snapshot.keys.contains_key(secret_id) {
            true => Ok((vec![delete::<KeyRecord>(secret_id)], ())),
            false => Err(not_found("key", secret_id)),
        })
        .await
    }

    fn sealed(&self, principal: Principal, new: &NewKey, temporary: Option<Temporary>) -> Change {
        let secret = self.vault().seal(&format!("key/{}", new.secret_id), &new.secret_key);
        let (enabled, created_at) = (Switch::Enabled, self.now().0);
        put(&new.secret_id, &KeyRecord { principal: principal.0, secret, enabled, created_at, temporary })
    }
}

fn check_principal(snapshot: &Snapshot, principal: Principal) -> Result<(), RegistryError> {
    snapshot.account_of(principal).map(|_| ()).ok_or_else(|| not_found("account or user", principal.0))
}

/// Temporary pairs that have ended go with the next one that is made.
fn expired(snapshot: &Snapshot, now: UnixMillis) -> Vec<Change> {
    let ended = snapshot
        .keys
        .iter()
        .filter(|(_, key)| key.record.temporary.as_ref().is_some_and(|temporary| temporary.has_ended(now)));
    ended.map(|(id, _)| delete::<KeyRecord>(id)).take(100).collect()
}
