//! Policies and who has them.

use catharsis_cam::Policy;
use catharsis_core::task::AccountId;

use super::{check_name, not_found};
use crate::error::{RegistryError, StateProblem};
use crate::record::{AttachmentRecord, PolicyRecord, delete, put};
use crate::registry::{Done, Registry};

/// Policies of an account; the vendor's number for custom policies.
const POLICIES_MAX: usize = 1_500;

/// Policies of a user; bounds what is asked for each call.
const ATTACHED_MAX: usize = 200;

impl Registry {
    /// Keeps a policy under a name, in place of any other of that name.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for the account, [`RegistryError::Invalid`] with what is wrong with the document.
    pub async fn put_policy(&self, account: AccountId, name: &str, document: &str) -> Result<Done<()>, RegistryError> {
        check_name("policy name", name)?;
        if let Err(error) = Policy::parse(document) {
            return Err(RegistryError::Invalid { field: "Document", why: error.to_string() });
        }
        let id = format!("{account}/{name}");
        self.update(|snapshot| {
            if !snapshot.accounts.contains_key(&account) {
                return Err(not_found("account", account));
            }
            let of_account = snapshot.policies.keys().filter(|(owner, known)| *owner == account && known != name);
            if of_account.count() >= POLICIES_MAX {
                return Err(RegistryError::TooMany { what: "policies of the account", limit: POLICIES_MAX });
            }
            Ok((vec![put(&id, &PolicyRecord { document: document.to_owned() })], ()))
        })
        .await
    }

    /// Deletes a policy that nobody has.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`StateProblem::Attached`].
    pub async fn delete_policy(&self, account: AccountId, name: &str) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            if !snapshot.policies.contains_key(&(account, name.to_owned())) {
                return Err(not_found("policy", name));
            }
            let attached = |(user, policy): &(u64, String)| {
                policy == name && snapshot.users.get(user).is_some_and(|user| user.account == account)
            };
            if snapshot.attachments.iter().any(attached) {
                return Err(RegistryError::State(StateProblem::Attached));
            }
            Ok((vec![delete::<PolicyRecord>(&format!("{account}/{name}"))], ()))
        })
        .await
    }

    /// Gives a user a policy of its account.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::TooMany`].
    pub async fn attach_policy(&self, uin: u64, name: &str) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            let user = snapshot.users.get(&uin).ok_or_else(|| not_found("user", uin))?;
            if !snapshot.policies.contains_key(&(user.account, name.to_owned())) {
                return Err(not_found("policy", name));
            }
            if user.policies.len() >= ATTACHED_MAX {
                return Err(RegistryError::TooMany { what: "policies of the user", limit: ATTACHED_MAX });
            }
            Ok((vec![put(&format!("{uin}/{name}"), &AttachmentRecord {})], ()))
        })
        .await
    }

    /// Takes a policy from a user.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn detach_policy(&self, uin: u64, name: &str) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| match snapshot.attachments.contains(&(uin, name.to_owned())) {
            true => Ok((vec![delete::<AttachmentRecord>(&format!("{uin}/{name}"))], ())),
            false => Err(not_found("attached policy", name)),
        })
        .await
    }
}
