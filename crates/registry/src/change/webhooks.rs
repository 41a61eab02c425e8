//! Endpoints that are told when tasks end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catharsis_core::limits::WEBHOOKS_PER_ACCOUNT;
use catharsis_core::task::AccountId;

use super::not_found;
use crate::error::RegistryError;
use crate::record::{WebhookRecord, delete, put};
use crate::registry::{Done, Registry};

/// Bytes of a URL.
const URL_MAX: usize = 2_048;

/// An endpoint that was just made: the only time that its secret is shown.
#[derive(Clone)]
pub struct NewWebhook {
    /// The signing secret, in the form of Standard Webhooks: `whsec_` and base64.
    pub secret: String,
}

impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewWebhook(..)")
    }
}

impl Registry {
    /// Makes an endpoint of an account. Its URL is an operator's word: callers can only name it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Exists`], [`RegistryError::Invalid`], [`RegistryError::TooMany`].
    pub async fn create_webhook(
        &self,
        account: AccountId,
        name: &str,
        url: &str,
    ) -> Result<Done<NewWebhook>, RegistryError> {
        check(name, url)?;
        let id = format!("{account}/{name}");
        let secret = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        let sealed = self.vault().seal(&format!("webhook/{id}"), &secret);
        let created_at = self.now().0;
        self.update(|snapshot| {
            if !snapshot.accounts.contains_key(&account) {
                return Err(not_found("account", account));
            }
            if snapshot.webhooks.contains_key(&(account, name.to_owned())) {
                return Err(RegistryError::Exists { kind: "webhook", id: name.to_owned() });
            }
            if snapshot.webhooks_of(account).count() >= WEBHOOKS_PER_ACCOUNT {
                return Err(RegistryError::TooMany { what: "webhooks of the account", limit: WEBHOOKS_PER_ACCOUNT });
            }
            let record = WebhookRecord { url: url.to_owned(), secret: sealed.clone(), created_at };
            Ok((vec![put(&id, &record)], NewWebhook { secret: secret.clone() }))
        })
        .await
    }

    /// Deletes an endpoint; what it was not told yet is given up.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn delete_webhook(&self, account: AccountId, name: &str) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| match snapshot.webhooks.contains_key(&(account, name.to_owned())) {
            true => Ok((vec![delete::<WebhookRecord>(&format!("{account}/{name}"))], ())),
            false => Err(not_found("webhook", name)),
        })
        .await
    }
}

fn check(name: &str, url: &str) -> Result<(), RegistryError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
        let why = "it must be of 1 to 64 lower-case letters, digits, `-` and `_`".to_owned();
        return Err(RegistryError::Invalid { field: "Name", why });
    }
    let has_host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .and_then(|rest| rest.split(['/', '?']).next())
        .is_some_and(|authority| !authority.is_empty() && !authority.contains('@'));
    let clean = url.len() <= URL_MAX && url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#');
    if has_host && clean {
        return Ok(());
    }
    let why = format!(
        "it must be an http or https URL of at most {URL_MAX} visible ASCII characters, without user information and fragment"
    );
    Err(RegistryError::Invalid { field: "Url", why })
}
