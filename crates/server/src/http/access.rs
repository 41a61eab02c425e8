//! Who calls, and how far the word goes.
//!
//! What this is: the check of a call's key, signature and token, in that order, and then of what the
//! user's policies permit. What this is not: the rate, which is counted afterwards, nor the domains of
//! a call, which the engine asks the [`Scope`] about one by one.
//!
//! Invariant: a root account may do everything with what it owns; a user may do what a policy allows and
//! none denies, on one snapshot of all policies for the whole call.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use catharsis_cam::{Context, Mfa, Request, Resource};
use catharsis_core::clock::UnixMillis;
use catharsis_core::domain::DomainName;
use catharsis_core::history::{HostScope, HostTable};
use catharsis_core::plan::{Caller, Permits, Scope};
use catharsis_core::task::AccountId;
use catharsis_registry::Snapshot;
use catharsis_registry::snapshot::{Key, NamedPolicy, Principal, User};
use catharsis_tcapi::auth::AuthError;
use catharsis_tcapi::call::{Call, Verified, VerifyRules};
use catharsis_tcapi::cdn::{Action, PRODUCT};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::tc3::UnsignedPayload;

use super::error::first_listed;

/// What surrounds a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    /// Now.
    pub(super) now: UnixMillis,
    /// The other end of the connection; `None` when it is not known.
    pub(super) ip: Option<IpAddr>,
    /// Whether a signature may leave the body out.
    pub(super) unsigned: UnsignedPayload,
}

/// A caller whose signature is right.
#[derive(Debug)]
pub(super) struct Identity {
    /// The root account.
    pub(super) account: AccountId,
    /// Who signed.
    pub(super) principal: Principal,
    /// Its limit of calls a second and action.
    pub(super) per_second: NonZeroU32,
    ip: Option<IpAddr>,
    now: UnixMillis,
}

/// Checks time, key, signature and token.
///
/// # Errors
/// [`AuthError`], each with its documented code.
pub(super) fn authenticate<'c>(
    snapshot: &Snapshot,
    call: &'c Call,
    around: Surroundings,
) -> Result<(Identity, Verified<'c>), AuthError> {
    let timely = call.timely(i64::try_from(around.now.seconds()).unwrap_or(i64::MAX))?;
    let key = snapshot.enabled_key(call.secret_id().as_str()).ok_or(AuthError::SecretIdNotFound)?;
    let account = snapshot.account_of(key.principal).ok_or(AuthError::SecretIdNotFound)?;
    let rules = VerifyRules { product: PRODUCT, unsigned_payload: around.unsigned };
    let verified = timely.verify(&key.secret, rules)?;
    check_token(key, call, around.now)?;
    let per_second = snapshot.accounts.get(&account).and_then(|it| NonZeroU32::new(it.requests_per_second));
    let identity = Identity {
        account,
        principal: key.principal,
        per_second: per_second.unwrap_or(NonZeroU32::MIN),
        ip: around.ip,
        now: around.now,
    };
    Ok((identity, verified))
}

/// A temporary pair needs its token until both end; a lasting one has none.
fn check_token(key: &Key, call: &Call, now: UnixMillis) -> Result<(), AuthError> {
    match (&key.record.temporary, call.token()) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(AuthError::Token),
        (Some(_), None) => Err(AuthError::TokenMissing),
        // Whether it has ended is told to nobody who does not have it.
        (Some(temporary), Some(token)) if !token.has_sha256(&temporary.token_sha256) => Err(AuthError::Token),
        (Some(temporary), Some(_)) if temporary.has_ended(now) => {
            let seconds = |at: UnixMillis| i64::try_from(at.seconds()).unwrap_or(i64::MAX);
            Err(AuthError::TokenExpired { expired: seconds(UnixMillis(temporary.expires_at)), now: seconds(now) })
        }
        (Some(_), Some(_)) => Ok(()),
    }
}

/// What an action acts on, for policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActsOn {
    /// Domains that its parameters name.
    Domains,
    /// No domain.
    Nothing,
}

const fn acts_on(action: Action) -> ActsOn {
    match action {
        Action::PurgeUrlsCache
        | Action::PurgePathCache
        | Action::PushUrlsCache
        | Action::DescribePurgeTasks
        | Action::DescribePushTasks
        | Action::DescribePurgeReceipts
        | Action::AddCdnDomain
        | Action::StartCdnDomain
        | Action::StopCdnDomain
        | Action::DeleteCdnDomain
        | Action::DescribeDomains => ActsOn::Domains,
        Action::DescribePurgeQuota
        | Action::DescribePushQuota
        | Action::ModifyPurgeFetchTaskStatus
        | Action::DescribeCacheNodes => ActsOn::Nothing,
    }
}

impl Identity {
    /// How far the caller's word goes with an action.
    ///
    /// # Errors
    /// When no policy allows the action at all.
    pub(super) fn authorize(&self, snapshot: &Arc<Snapshot>, action: Action) -> Result<Caller, WireError> {
        let Some(user) = snapshot.user(self.principal) else { return Ok(Caller::root(self.account)) };
        let policies = UserPolicies {
            action: format!("{PRODUCT}:{}", action.as_str()),
            policies: user.policies.clone(),
            owner: self.account,
            user: self.principal.0,
            ip: self.ip,
            now: i64::try_from(self.now.seconds()).unwrap_or(i64::MAX),
        };
        let allowed = match acts_on(action) {
            ActsOn::Domains => policies.allow_somewhere(),
            ActsOn::Nothing => policies.allow(Resource::Any),
        };
        if allowed {
            return Ok(Caller { account: self.account, scope: Scope::Policies(Arc::new(policies)) });
        }
        Err(denied(action, user, self.principal))
    }
}

/// No policy lets the user call the action. The product's own code where the action lists it, else the platform's.
fn denied(action: Action, user: &User, principal: Principal) -> WireError {
    let code = first_listed(action, &[ErrorCode::CdnCamUnauthorized], ErrorCode::AuthUnauthorizedOperation);
    let (name, uin, count) = (&user.record.name, principal.0, user.policies.len());
    let action = action.as_str();
    WireError::new(
        code,
        format!(
            "you are not authorized to perform operation (cdn:{action}): none of the {count} policies of user `{name}` ({uin}) allows it. \
             Ask whoever manages the account for a policy with this action."
        ),
    )
    .with_chinese(format!(
        "您没有执行该操作的权限 (cdn:{action})：子用户 `{name}` ({uin}) 的 {count} 条策略均未允许该操作，请联系账号管理员授权。"
    ))
}

/// The policies of one user, asked about one action.
struct UserPolicies {
    action: String,
    policies: Vec<Arc<NamedPolicy>>,
    owner: AccountId,
    user: u64,
    ip: Option<IpAddr>,
    now: i64,
}

impl UserPolicies {
    fn context(&self) -> Context<'static> {
        Context {
            ip: self.ip,
            now: self.now,
            uin: self.user,
            owner_uin: self.owner.0,
            // A call is signed with a key pair, which proves no second factor and denies none.
            mfa: Mfa::Unknown,
            resource_tags: &[],
        }
    }

    fn named(&self) -> impl Iterator<Item = (&str, &catharsis_cam::Policy)> {
        self.policies.iter().map(|it| (it.name.as_str(), &it.policy))
    }

    fn allow(&self, resource: Resource<'_>) -> bool {
        let request = Request { action: &self.action, resource };
        catharsis_cam::evaluate(self.named(), request, &self.context()).is_allowed()
    }

    fn allow_somewhere(&self) -> bool {
        catharsis_cam::allows_somewhere(self.named(), &self.action, &self.context())
    }
}

impl Permits for UserPolicies {
    fn permits(&self, domain: &DomainName) -> bool {
        self.allow(Resource::Domain { owner_uin: self.owner.0, name: &domain.to_string() })
    }
}

/// The hosts whose items a caller may see.
pub(super) fn hosts(caller: &Caller, snapshot: &Snapshot) -> HostScope {
    match &caller.scope {
        Scope::Account => HostScope::All,
        Scope::Policies(policies) => {
            let domains = snapshot.directory.domains_of(caller.account).map(|domain| &domain.name);
            HostScope::Some(Arc::new(HostTable::new(domains, |name| policies.permits(name))))
        }
    }
}
