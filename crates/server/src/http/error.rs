//! From the engine's and the registry's errors to wire codes: one exhaustive mapping each.
//!
//! What this is: the only place where a code is chosen for an error of ours. An action answers only codes
//! that the vendor lists for it, or those of the platform: where the fitting one is not listed, the next
//! best is. What a caller can mend is said in full, in both languages; what only an operator can mend is
//! logged in full and told as an internal error.

use tracing::error;

use catharsis_core::account::AccountState;
use catharsis_core::domain::DomainStatus;
use catharsis_core::error::{Place, PurgeError, StoreError};
use catharsis_core::quota::QuotaKind;
use catharsis_core::target::InvalidUrl;
use catharsis_registry::RegistryError;
use catharsis_registry::error::StateProblem;
use catharsis_tcapi::cdn::Action;
use catharsis_tcapi::code::{ErrorCode, WireError};

/// The wire's form of an engine error, as this action tells it.
#[must_use]
pub(super) fn wire(error: &PurgeError, action: Action) -> WireError {
    let (wanted, platform): (&[ErrorCode], ErrorCode) = match error {
        PurgeError::AccountState(state) => return account_state(*state, action),
        PurgeError::Empty { .. } | PurgeError::AreaMismatch { .. } | PurgeError::TokenReused { .. } => {
            (&[ErrorCode::CdnParamError], ErrorCode::InvalidParameter)
        }
        PurgeError::TooMany { kind, .. } => (too_many(*kind), ErrorCode::LimitExceeded),
        PurgeError::InvalidUrl { place, why } => (invalid_url(*why, place.kind), ErrorCode::InvalidParameter),
        PurgeError::UnknownHost { .. } => (&[ErrorCode::CdnHostNotExists], ErrorCode::ResourceNotFound),
        PurgeError::HostDenied { .. } => {
            (&[ErrorCode::CdnHostUnauthorized, ErrorCode::CdnCamUnauthorized], ErrorCode::AuthUnauthorizedOperation)
        }
        PurgeError::HostOffline { .. } => {
            (&[ErrorCode::CdnHostIsNotOnline, ErrorCode::CdnHostInvalidStatus], ErrorCode::ResourceUnavailable)
        }
        PurgeError::HostHeld { status, .. } => (held(*status), ErrorCode::ResourceUnavailable),
        PurgeError::QuotaExceeded(exceeded) => (day_limit(exceeded.kind), ErrorCode::LimitExceeded),
        PurgeError::Store(inner) => return store(inner),
    };
    WireError::new(first_listed(action, wanted, platform), format!("{error}.")).with_chinese(chinese(error))
}

/// The first of these codes that the vendor lists for the action, else that of the platform.
pub(super) fn first_listed(action: Action, wanted: &[ErrorCode], platform: ErrorCode) -> ErrorCode {
    wanted.iter().copied().find(|code| action.codes().contains(code)).unwrap_or(platform)
}

/// An account whose state does not allow the action.
#[must_use]
pub(super) fn account_state(state: AccountState, action: Action) -> WireError {
    let wanted: &[ErrorCode] = match state {
        AccountState::NotActivated => &[ErrorCode::CdnUserNotExists],
        AccountState::AuthPending => &[ErrorCode::CdnUserAuthWait],
        AccountState::AuthFailed => &[ErrorCode::CdnUserAuthFail],
        AccountState::Suspended => &[ErrorCode::CdnUserIsSuspended],
        AccountState::Isolated => &[ErrorCode::CdnUserIsIsolated],
        AccountState::Migrated => &[ErrorCode::EcdnMigratedCdn, ErrorCode::ProductUpgraded],
        // An active account is refused nothing.
        AccountState::NotAllowed | AccountState::Active => &[],
    };
    let any_state = [ErrorCode::OpNoAuth, ErrorCode::UnauthorizedUnknown];
    let code = first_listed(action, &[wanted, &any_state].concat(), ErrorCode::UnauthorizedOperation);
    let error = PurgeError::AccountState(state);
    WireError::new(code, format!("{error}.")).with_chinese(chinese(&error))
}

const fn too_many(kind: QuotaKind) -> &'static [ErrorCode] {
    match kind {
        QuotaKind::Url => &[ErrorCode::CdnPurgeUrlExceedBatchLimit],
        QuotaKind::Path => &[ErrorCode::CdnPurgePathExceedBatchLimit],
        QuotaKind::Push => &[ErrorCode::CdnPushExceedBatchLimit],
    }
}

const fn day_limit(kind: QuotaKind) -> &'static [ErrorCode] {
    match kind {
        QuotaKind::Url => &[ErrorCode::CdnPurgeUrlExceedDayLimit],
        QuotaKind::Path => &[ErrorCode::CdnPurgePathExceedDayLimit],
        QuotaKind::Push => &[ErrorCode::CdnPushExceedDayLimit],
    }
}

const fn held(status: DomainStatus) -> &'static [ErrorCode] {
    match status {
        DomainStatus::Locked => &[ErrorCode::CdnHostIsLocked, ErrorCode::CdnHostInvalidStatus],
        DomainStatus::Rejected
        | DomainStatus::Closing
        | DomainStatus::Online
        | DomainStatus::Offline
        | DomainStatus::Processing => &[ErrorCode::CdnHostInvalidStatus],
    }
}

const fn invalid_url(why: InvalidUrl, kind: QuotaKind) -> &'static [ErrorCode] {
    match why {
        InvalidUrl::Wildcard => match kind {
            QuotaKind::Url | QuotaKind::Path => &[ErrorCode::CdnPurgeWildcardNotAllowed, ErrorCode::CdnParamError],
            QuotaKind::Push => &[ErrorCode::CdnPushWildcardNotAllowed, ErrorCode::CdnParamError],
        },
        InvalidUrl::TooLong => &[ErrorCode::CdnUrlExceedLength, ErrorCode::CdnParamError],
        InvalidUrl::NoScheme
        | InvalidUrl::ControlCharacter { .. }
        | InvalidUrl::UserInfo
        | InvalidUrl::Fragment
        | InvalidUrl::Query
        | InvalidUrl::BadPort
        | InvalidUrl::BadHost => &[ErrorCode::CdnParamError],
    }
}

/// The same in Chinese.
fn chinese(error: &PurgeError) -> String {
    match error {
        PurgeError::AccountState(state) => {
            format!("账号当前状态为 `{}`，请联系本服务的管理员。", state.as_str())
        }
        PurgeError::Empty { kind } => format!("参数 {} 列表为空。", Place::list(*kind)),
        PurgeError::TooMany { kind, count, limit } => {
            format!("{}：单次提交 {count} 条，上限为 {limit} 条，请分批提交。", Place::list(*kind))
        }
        PurgeError::InvalidUrl { place, why } => format!("{place}：{}。", chinese_url(*why)),
        PurgeError::UnknownHost { place, host } => format!("{place}：账号下没有域名 {host}。"),
        PurgeError::HostDenied { place, host } => {
            format!("{place}：子用户的策略未授权对 {host} 所属域名执行该操作。")
        }
        PurgeError::HostOffline { place, host } => format!("{place}：{host} 所属域名已下线，请先启用。"),
        PurgeError::HostHeld { place, host, status } => {
            format!("{place}：{host} 所属域名状态为 {}，不允许刷新。", status.as_str())
        }
        PurgeError::AreaMismatch { place, host, area, served } => {
            format!("{place}：{host} 的加速区域为 {}，不包含 {}。", served.as_str(), area.as_str())
        }
        PurgeError::QuotaExceeded(exceeded) => format!(
            "{} 的每日 {} 配额剩余 {}，本次需要 {}。",
            exceeded.area,
            exceeded.kind.as_str(),
            exceeded.available,
            exceeded.needed
        ),
        PurgeError::TokenReused { task } => {
            format!("ClientToken：24 小时内已用于另一请求（任务 {task}），请换用新的值。")
        }
        PurgeError::Store(_) => "服务内部错误。".to_owned(),
    }
}

fn chinese_url(why: InvalidUrl) -> String {
    match why {
        InvalidUrl::NoScheme => "必须以 http:// 或 https:// 开头".to_owned(),
        InvalidUrl::Wildcard => "不支持通配符，请逐个提交 URL（路径段中间或查询串中的 * 视为普通字符）".to_owned(),
        InvalidUrl::TooLong => format!("编码后长度超过 {} 字节", catharsis_core::limits::URL_BYTES_MAX),
        InvalidUrl::ControlCharacter { position } => format!("第 {position} 字节处有控制字符"),
        InvalidUrl::UserInfo => "主机名前不允许带用户信息".to_owned(),
        InvalidUrl::Fragment => "片段（#...）不会发送到缓存，请去掉".to_owned(),
        InvalidUrl::Query => "目录不能带查询串".to_owned(),
        InvalidUrl::BadPort => "端口必须是 1 到 65535 的数字".to_owned(),
        InvalidUrl::BadHost => "主机名不合法".to_owned(),
    }
}

/// The wire's form of a refused change of a domain.
#[must_use]
pub(super) fn registry(problem: &RegistryError, action: Action) -> WireError {
    let (wanted, platform): (&[ErrorCode], ErrorCode) = match problem {
        RegistryError::NotFound { .. } => (&[ErrorCode::CdnHostNotExists], ErrorCode::ResourceNotFound),
        RegistryError::Exists { .. } => (&[ErrorCode::CdnHostExists], ErrorCode::ResourceInUse),
        RegistryError::OwnedByOther { .. } => (&[ErrorCode::CdnHostIsUsedByOther], ErrorCode::ResourceInUse),
        RegistryError::Conflict { .. } => (&[ErrorCode::CdnConflictHostExists], ErrorCode::ResourceInUse),
        RegistryError::TooMany { .. } => (&[ErrorCode::CdnUserTooManyHosts], ErrorCode::LimitExceeded),
        RegistryError::Invalid { .. } => (&[ErrorCode::CdnParamError], ErrorCode::InvalidParameter),
        RegistryError::State(state) => (state_problem(*state, action), ErrorCode::ResourceUnavailable),
        RegistryError::Contended => (&[ErrorCode::CdnOpInProgress], ErrorCode::ResourceInUse),
        RegistryError::Damaged { .. } | RegistryError::Vault(_) => {
            error!(error = %problem, "a call failed on the registry");
            return WireError::new(
                ErrorCode::InternalError,
                "The server could not read its records; its log says why.",
            );
        }
        RegistryError::Store(inner) => return store(inner),
    };
    WireError::new(first_listed(action, wanted, platform), format!("{problem}."))
        .with_chinese(chinese_registry(problem))
}

fn state_problem(state: StateProblem, action: Action) -> &'static [ErrorCode] {
    match state {
        StateProblem::NotOffline if action == Action::DeleteCdnDomain => &[ErrorCode::CdnHostIsNotOffline],
        StateProblem::NotOffline | StateProblem::NotOnline | StateProblem::Rejected => {
            &[ErrorCode::CdnStatusInvalidDomain, ErrorCode::CdnHostInvalidStatus]
        }
        StateProblem::Locked => &[ErrorCode::CdnHostIsLocked],
        StateProblem::InProgress => &[ErrorCode::CdnOpInProgress],
        // Changes of accounts and policies; no action of the API makes one.
        StateProblem::NotEmpty | StateProblem::Attached => &[],
    }
}

fn chinese_registry(problem: &RegistryError) -> String {
    match problem {
        RegistryError::NotFound { id, .. } => format!("账号下没有域名 `{id}`。"),
        RegistryError::Exists { id, .. } => format!("域名 `{id}` 已接入。"),
        RegistryError::OwnedByOther { name } => format!("域名 `{name}` 已由其他账号接入。"),
        RegistryError::Conflict { name, other } => format!("域名 `{name}` 与其他账号的 `{other}` 冲突。"),
        RegistryError::TooMany { limit, .. } => format!("域名数量上限为 {limit} 个。"),
        RegistryError::Invalid { field, why } => format!("参数 {field} 不合法：{why}。"),
        RegistryError::State(state) => match state {
            StateProblem::NotOffline => "域名未下线。".to_owned(),
            StateProblem::NotOnline => "域名未上线。".to_owned(),
            StateProblem::Locked => "域名被锁定。".to_owned(),
            StateProblem::Rejected => "域名审核未通过。".to_owned(),
            StateProblem::InProgress => "域名的上一次变更仍在进行中，请稍后重试。".to_owned(),
            StateProblem::NotEmpty | StateProblem::Attached => "资源仍在使用中。".to_owned(),
        },
        RegistryError::Contended => "数据正在变更，请稍后重试。".to_owned(),
        RegistryError::Damaged { .. } | RegistryError::Vault(_) | RegistryError::Store(_) => {
            "服务内部错误。".to_owned()
        }
    }
}

/// The wire's form of a store's failure; its text stays in the log.
#[must_use]
pub(super) fn store(error: &StoreError) -> WireError {
    error!(%error, "a call failed on the store");
    match error {
        StoreError::Busy => WireError::new(
            ErrorCode::CdnSystemError,
            "The server has more calls waiting than it can keep: nothing was accepted. Try again.",
        )
        .with_chinese("服务繁忙，本次请求未受理，请重试。"),
        StoreError::Closed => {
            WireError::new(ErrorCode::CdnSystemError, "The server is stopping: nothing was accepted. Try again.")
                .with_chinese("服务正在停止，本次请求未受理，请重试。")
        }
        StoreError::Io(_) | StoreError::Corrupt(_) => WireError::new(
            ErrorCode::CdnDbError,
            "The server could not use its store, and its log says why. It is not known whether the call was accepted: \
             ask DescribePurgeTasks, or call again; purging twice is harmless.",
        )
        .with_chinese("服务存储异常，无法确认本次请求是否已受理，请查询刷新历史或重新提交（重复刷新无害）。"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_no_client_can_force_are_mapped() {
        for error in [StoreError::Busy, StoreError::Closed] {
            assert_eq!(store(&error).code, ErrorCode::CdnSystemError);
        }
        assert_eq!(registry(&RegistryError::Contended, Action::AddCdnDomain).code, ErrorCode::CdnOpInProgress);
    }

    #[test]
    fn each_action_answers_a_state_of_its_account_with_a_code_that_it_lists_or_with_the_platforms() {
        for action in Action::ALL {
            for state in AccountState::ALL {
                let code = account_state(state, action).code;
                let known = action.codes().contains(&code) || code == ErrorCode::UnauthorizedOperation;
                assert!(known, "{action:?} {state:?} {code}");
            }
        }
    }
}
