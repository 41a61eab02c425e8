//! Who calls, and how often they may.
//!
//! What this is: the keys of all accounts, the check of a call's time, key, signature and token in
//! that order, and the rate of each account and action. Invariant: the rate is counted after the
//! signature, so that a stranger cannot use up a customer's.

use std::collections::HashMap;
use std::num::NonZeroU32;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use catharsis_core::clock::UnixMillis;
use catharsis_core::plan::Caller;
use catharsis_core::task::AccountId;
use catharsis_tcapi::auth::{AuthError, SecretKey};
use catharsis_tcapi::call::{Call, Verified, VerifyRules};
use catharsis_tcapi::cdn::{Action, PRODUCT};
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::tc3::UnsignedPayload;

/// The keys of all accounts.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: HashMap<String, (AccountId, SecretKey)>,
}

impl Keyring {
    /// A ring of these keys: public half, account, secret half.
    pub fn new(keys: impl IntoIterator<Item = (String, AccountId, SecretKey)>) -> Self {
        Self { keys: keys.into_iter().map(|(id, account, secret)| (id, (account, secret))).collect() }
    }

    /// Checks a call and says who signed it.
    ///
    /// # Errors
    /// [`AuthError`], each with its documented code.
    pub fn authenticate<'c>(
        &self,
        call: &'c Call,
        now: UnixMillis,
        unsigned: UnsignedPayload,
    ) -> Result<(Caller, Verified<'c>), AuthError> {
        let timely = call.timely(i64::try_from(now.seconds()).unwrap_or(i64::MAX))?;
        let (account, secret) = self.keys.get(call.secret_id().as_str()).ok_or(AuthError::SecretIdNotFound)?;
        let rules = VerifyRules { product: PRODUCT, unsigned_payload: unsigned };
        let verified = timely.verify(secret, rules)?;
        // Only temporary keys have tokens, and there are none of those: a token belongs to no key.
        if call.token().is_some() {
            return Err(AuthError::Token);
        }
        Ok((Caller::root(*account), verified))
    }
}

/// How often each account may call each action.
#[derive(Debug)]
pub(super) struct Rates {
    limiter: DefaultKeyedRateLimiter<(AccountId, Action)>,
    per_second: NonZeroU32,
}

impl Rates {
    /// So many calls a second, account and action, and as many at once after a pause.
    #[must_use]
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        // Keys are accounts that have signed, times known actions: bounded by the configuration.
        Self { limiter: RateLimiter::keyed(Quota::per_second(per_second)), per_second }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// `RequestLimitExceeded`, the one code that clients wait and retry on.
    pub(super) fn check(&self, caller: &Caller, action: Action) -> Result<(), WireError> {
        self.limiter.check_key(&(caller.account, action)).map_err(|refused| {
            let limit = self.per_second;
            let wait = refused.wait_time_from(self.limiter.clock().now());
            let text = format!(
                "Your current request times equals to `{}` in a second, which exceeds the frequency limit `{limit}` for a \
                 second. Please reduce the frequency of calls. The next call of {} is free in {} ms.",
                limit.get().saturating_add(1),
                action.as_str(),
                wait.as_millis().max(1),
            );
            WireError::new(ErrorCode::RequestLimitExceeded, text)
        })
    }
}
