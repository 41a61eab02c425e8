//! What the server would do with a verified call, and what every refusal has to look like.

use std::fmt::Debug;

use catharsis_tcapi::cdn::{
    Action, AddCdnDomainRequest, DeleteCdnDomainRequest, DescribeCacheNodesRequest, DescribeDomainsRequest,
    DescribePurgeQuotaRequest, DescribePurgeReceiptsRequest, DescribePurgeTasksRequest, DescribePushQuotaRequest,
    DescribePushTasksRequest, ModifyPurgeFetchTaskStatusRequest, PurgePathCacheRequest, PurgeUrlsCacheRequest,
    PurgeUrlsCacheResponse, PushUrlsCacheRequest, Request, StartCdnDomainRequest, StopCdnDomainRequest,
};
use catharsis_tcapi::params::Params;
use catharsis_tcapi::{ErrorCode, Language, RequestId, WireError, envelope};
use serde::Serialize;
use serde_json::Value;

/// Longest message, bytes: three of the caller's texts of 96 characters, each escaped to ten bytes, and the sentence around them.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// A typed request, in forms that can be compared whatever the action.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Read {
    pub(crate) shown: String,
    pub(crate) json: Value,
}

/// Reads the parameters as the action's own request.
pub(crate) fn read(action: Action, params: Params<'_>) -> Result<Read, WireError> {
    match action {
        Action::PurgeUrlsCache => typed::<PurgeUrlsCacheRequest<'_>>(params),
        Action::PurgePathCache => typed::<PurgePathCacheRequest<'_>>(params),
        Action::PushUrlsCache => typed::<PushUrlsCacheRequest<'_>>(params),
        Action::DescribePurgeTasks => typed::<DescribePurgeTasksRequest<'_>>(params),
        Action::DescribePushTasks => typed::<DescribePushTasksRequest<'_>>(params),
        Action::DescribePurgeQuota => typed::<DescribePurgeQuotaRequest>(params),
        Action::DescribePushQuota => typed::<DescribePushQuotaRequest>(params),
        Action::ModifyPurgeFetchTaskStatus => typed::<ModifyPurgeFetchTaskStatusRequest<'_>>(params),
        Action::AddCdnDomain => typed::<AddCdnDomainRequest<'_>>(params),
        Action::StartCdnDomain => typed::<StartCdnDomainRequest<'_>>(params),
        Action::StopCdnDomain => typed::<StopCdnDomainRequest<'_>>(params),
        Action::DeleteCdnDomain => typed::<DeleteCdnDomainRequest<'_>>(params),
        Action::DescribeDomains => typed::<DescribeDomainsRequest<'_>>(params),
        Action::DescribePurgeReceipts => typed::<DescribePurgeReceiptsRequest<'_>>(params),
        Action::DescribeCacheNodes => typed::<DescribeCacheNodesRequest>(params),
    }
}

fn typed<'a, R: Request<'a> + Debug + Serialize>(params: Params<'a>) -> Result<Read, WireError> {
    let request = R::from_params(params)?;
    let json = serde_json::to_value(&request).expect("a request serializes");
    Ok(Read { shown: format!("{request:?}"), json })
}

/// A refusal: a documented code, one short line, and an envelope that a client reads back as it was meant.
pub(crate) fn assert_refusal(error: &WireError) {
    for language in [Language::English, Language::Chinese] {
        let message = error.message(language);
        assert!(!message.is_empty() && message.len() <= MESSAGE_BYTES_MAX, "{} bytes: {message:?}", message.len());
        assert!(!message.chars().any(disguises), "not one visible line: {message:?}");
        let body = envelope::error(RequestId::from_random_bytes([0; 16]), error, language);
        match envelope::parse::<PurgeUrlsCacheResponse>(&body) {
            Err(envelope::AnswerError::Api(seen)) => {
                assert_eq!((seen.known(), seen.message.as_str()), (Some(error.code), message.as_ref()));
            }
            other => panic!("a refusal is read back as one, not as {other:?}"),
        }
    }
}

/// A refusal that the parser of a request may give before it knows the key.
pub(crate) fn assert_code(error: &WireError, codes: &[ErrorCode]) {
    assert!(codes.contains(&error.code), "{error:?} is none of {codes:?}");
    assert_refusal(error);
}

/// Control characters, line separators and marks of direction: what could disguise a line of a log.
pub(crate) fn disguises(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
