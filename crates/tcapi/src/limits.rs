//! Every bound of the wire, with its unit and its reason.
//!
//! The documented ones are the contract; the others keep a stranger's request, which is read before its signature can be checked, from costing more
//! than its bytes are worth.

/// Body of a POST with `application/json`, bytes. Documented as 10 MB.
pub const MAX_JSON_BODY: usize = 10 * 1024 * 1024;

/// Body of a POST with `application/x-www-form-urlencoded`, bytes. Documented as 1 MB.
pub const MAX_FORM_BODY: usize = 1024 * 1024;

/// Path and query of a GET, bytes. Documented as 32 KB.
pub const MAX_GET_URL: usize = 32 * 1024;

/// How far the request's time may be from the server's, seconds, either way. Documented as five minutes.
pub const MAX_SKEW_SECONDS: u64 = 300;

/// Nesting of a parameter tree, levels below the top. The deepest documented CDN parameter needs four.
pub const MAX_DEPTH: usize = 8;

/// Values (leaves, lists and objects together) in one request. A batch holds at most 1,000 URLs; the rest is room to say so with the action's own
/// code, while 10 MB of `[[],[],…` cannot become hundreds of megabytes of tree.
pub const MAX_VALUES: usize = 65_536;

/// Members of one object. No documented structure has 100; keeps the search for duplicates cheap.
pub const MAX_MEMBERS: usize = 256;

/// Largest index of a flat list (`Urls.65535`), for the same reason as [`MAX_VALUES`].
pub const MAX_INDEX: u32 = 65_535;

/// Headers that one TC3 signature may cover. The SDKs sign two, the documentation's sample three.
pub const MAX_SIGNED_HEADERS: usize = 16;

/// Length of an `Authorization` header, bytes: identity, scope, 16 header names and a signature fit several times.
pub const MAX_AUTHORIZATION: usize = 2_048;

/// Length of a host, bytes: a DNS name (253), a port, and the `http://` that `tccli` puts there.
pub const MAX_HOST: usize = 280;

/// Length of a key id, bytes. Documented samples have 36.
pub const MAX_SECRET_ID: usize = 128;

/// Length of a temporary credential's token, bytes. Real ones stay below 1,500.
pub const MAX_TOKEN: usize = 4_096;

/// Length of an action's name, bytes. The longest CDN action has 38.
pub const MAX_ACTION: usize = 64;

/// Length of the client's description of itself, bytes; longer ones are not kept. The SDK's part plus 128 characters of the user's.
pub const MAX_REQUEST_CLIENT: usize = 256;

/// Length of a trace id, bytes; longer ones are not kept. SDKs send a UUID (36).
pub const MAX_TRACE_ID: usize = 64;

/// Characters of caller's text repeated in a message.
pub const MAX_SHOWN: usize = 96;

/// `Limit` of DescribePurgeTasks, rows. The documentation states no maximum; DescribeDomains has this one.
pub const MAX_PAGE: i64 = 1_000;

/// `Offset` of DescribePurgeTasks, rows. Deeper pages than the console's 10,000 rows are of use to nobody, but no page forbids them.
pub const MAX_OFFSET: i64 = 1_000_000_000;

/// Length of `Keyword` and `TaskId` in DescribePurgeTasks, bytes. Browsers and caches stop at URLs of 8 KB.
pub const MAX_KEYWORD: usize = 8_192;

/// Headers of one prefetch, as documented.
pub const MAX_PUSH_HEADERS: usize = 20;

/// Length of the name of a prefetch's header, bytes, as documented.
pub const MAX_HEADER_NAME: usize = 128;

/// Length of the value of a prefetch's header, bytes, as documented; taken for `UserAgent` too, for which nothing is documented.
pub const MAX_HEADER_VALUE: usize = 1_024;

/// Length of a domain, characters, as documented for AddCdnDomain.
pub const MAX_DOMAIN: usize = 81;

/// Addresses in one list of origins. The documentation states no number; a console's field of addresses holds some dozens.
pub const MAX_ORIGINS: usize = 64;

/// Filters of DescribeDomains: each of the eleven names, with room to say some twice.
pub const MAX_FILTERS: usize = 20;

/// Values of one filter of DescribeDomains, as documented; with `Fuzzy` it is one.
pub const MAX_FILTER_VALUES: usize = 5;

/// Length of one value of a filter, bytes: a domain, an address or a tag's key (127 characters at the vendor's).
pub const MAX_FILTER_VALUE: usize = 512;

/// Length of `ClientToken`, bytes: a UUID (36) fits, as does a hash in hex (64).
pub const MAX_CLIENT_TOKEN: usize = 64;

/// Length of the name of a webhook's endpoint, bytes.
pub const MAX_WEBHOOK_NAME: usize = 64;

/// Length of each text of ModifyPurgeFetchTaskStatus, bytes; they are answered and not kept.
pub const MAX_REPORT_TEXT: usize = 4_096;
