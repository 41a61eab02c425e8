//! Every bound of the engine, with its unit and its reason.
//!
//! What this is: constants that hold for every installation, and the defaults of those that an
//! operator can configure (marked "default").

use std::time::Duration;

/// Longest URL in bytes, counted after percent-encoding. nginx 1.22 refuses a request line above
/// 8,192 bytes (measured: 8,100 passes), so a longer URL could not be purged on every node.
pub const URL_BYTES_MAX: usize = 8_000;

/// Longest host name in bytes (RFC 1035 section 2.3.4, without the trailing dot).
pub const HOST_BYTES_MAX: usize = 253;

/// Longest label of a host name in bytes (RFC 1035 section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Parameters that a domain's key rules name. The contract's bound of `QueryString.Value` is not published; a
/// site that needs more should keep named ones rather than drop them.
pub const KEY_PARAMS_MAX: usize = 100;

/// Bytes of a parameter's name in key rules.
pub const KEY_PARAM_BYTES_MAX: usize = 128;

/// URLs in one call, default. The documented batch limit of `PurgeUrlsCache`.
pub const URLS_PER_CALL: u32 = 1_000;

/// Most URLs in one call that can be configured: item positions are stored as 16-bit numbers.
pub const URLS_PER_CALL_MAX: u32 = 50_000;

/// URLs a day, account and area, default. The documented quota of `PurgeUrlsCache`.
pub const URLS_PER_DAY: u32 = 10_000;

/// Directories in one call, default; the batch limit of the API's description of `PurgePathCache`.
pub const PATHS_PER_CALL: u32 = 500;

/// Directories a day, account and area, default. The documented quota of `PurgePathCache`.
pub const PATHS_PER_DAY: u32 = 100;

/// URLs to prefetch in one call, default; the documented batch limit of `PushUrlsCache`.
pub const PUSHES_PER_CALL: u32 = 500;

/// URLs to prefetch a day, account and area, default. The documented quota of `PushUrlsCache`.
pub const PUSHES_PER_DAY: u32 = 1_000;

/// Highest quota that can be set, the contract's bound for a raise.
pub const QUOTA_MAX: u32 = 4_000_000_000;

/// Domains of an account, default; the documented number.
pub const DOMAINS: u32 = 100;

/// Time within which a repeated `ClientToken` names the first call's task.
pub const CLIENT_TOKEN_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Bytes of a `ClientToken`.
pub const CLIENT_TOKEN_BYTES_MAX: usize = 64;

/// Endpoints of an account that are told when a task ends.
pub const WEBHOOKS_PER_ACCOUNT: usize = 10;

/// Invalidations that a relay worker reads, sends and settles at once. Large enough that what each batch costs is
/// little for each invalidation; small enough that a slow node does not hold much memory (about 200 bytes an entry,
/// [`BATCHES_AT_ONCE`] + [`RECEIPTS_WAITING`] + 1 batches a node).
pub const RELAY_BATCH: usize = 2_048;

/// Batches that a node is told at once, in the order of the log: the second is read, merged and written while the node
/// works at the first, and goes out as soon as that leaves a connection free. A third would only wait behind it.
pub const BATCHES_AT_ONCE: usize = 2;

/// Receipts of a node that wait for the store behind the one that is being kept. One is enough to keep the store
/// busy; more would only hold more batches in memory, and more to send again after a crash.
pub const RECEIPTS_WAITING: usize = 1;

/// Runs of neighbours of the log, with equal outcomes, for which a relay worker remembers until the last pass of a fence
/// what an earlier one removed. A full minute of a thousand removals a second fits, if no two neighbours had as many
/// copies; at most 2.5 MB a node. What does not fit is told as the last pass found it.
pub const FOUND_RUNS_MAX: usize = 65_536;

/// First delay after a failed attempt, default.
pub const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest delay between two attempts, default. A node that comes back is seen within this time.
pub const RETRY_MAX: Duration = Duration::from_secs(15);

/// Attempts at one invalidation that a node leaves unanswered while it answers something else at the same attempt or
/// right after it. After these the invalidation is refused by name, so that one poisonous URL cannot stop a node.
pub const UNANSWERED_ATTEMPTS_MAX: u32 = 10;

/// Time after acceptance when an item that is not yet settled everywhere is shown as `fail`,
/// default. Twice the five minutes that the contract names as the usual effect time.
pub const FAIL_AFTER: Duration = Duration::from_secs(600);

/// Steps into which a bounded fence divides its longest wait when it remembers what was applied
/// when. Bounds a worker's memory to this many marks, whatever the load.
pub const FENCE_MARKS: u32 = 256;

/// Longest repeat schedule of a bounded fence, in passes.
pub const FENCE_PASSES_MAX: usize = 8;

/// Rows of one page of the history, and the most that `Limit` may ask for.
pub const HISTORY_PAGE_MAX: u32 = 1_000;

/// Bytes of a task id.
pub const TASK_ID_BYTES_MAX: usize = 64;

/// Bytes of the name of a node or a `PoP`.
pub const NAME_BYTES_MAX: usize = 63;

/// Bytes of the text that explains why a node could not be reached.
pub const REASON_BYTES_MAX: usize = 200;

/// Header fields that a caller may give to the fetches of a prefetch; the contract's number.
pub const PUSH_FIELDS_MAX: usize = 20;

/// Bytes of the name of such a field; the contract's number.
pub const PUSH_FIELD_NAME_BYTES_MAX: usize = 128;

/// Bytes of the value of such a field; the contract's number.
pub const PUSH_FIELD_VALUE_BYTES_MAX: usize = 1_024;

/// Attempts at one fetch through one node.
pub const PUSH_ATTEMPTS_MAX: u32 = 3;

/// Fetches through one node at once, default: enough to hide the round trips of small files, few enough
/// that clients of the node notice nothing.
pub const PUSH_LANES: usize = 8;

/// Most fetches through one node at once that can be configured.
pub const PUSH_LANES_MAX: usize = 256;

/// Time after acceptance when a prefetch that is still open is given up, default.
pub const PUSH_DEADLINE: Duration = Duration::from_secs(600);

/// Levels of playlists that are expanded: a submitted one, those that it names, those that they name. The
/// contract's number.
pub const PLAYLIST_LEVELS: u8 = 3;

/// URLs taken from one playlist. A film of three hours in segments of two seconds has 5,400.
pub const PLAYLIST_URLS_MAX: usize = 6_000;

/// How long a lease lets the built-in edge trust its copies, default. `done` waits at most about this long for an edge
/// that is cut off; each edge is asked three times in it.
pub const LEASE: Duration = Duration::from_secs(10);

/// Shortest lease that can be configured: renewals must survive a lost packet's retransmission.
pub const LEASE_MIN: Duration = Duration::from_secs(1);

/// Longest lease that can be configured. A cut-off edge may serve old copies, and keep tasks from `done`, so long.
pub const LEASE_MAX: Duration = Duration::from_secs(600);

/// By how much of a lease, in percent, the clocks of a node and the relay may drift apart before the relay takes it
/// for ended too early. Quartz is exact to 0.01 %, and the kernel disciplines it by at most 0.05 % (adjtimex(2)).
pub const LEASE_DRIFT_PERCENT: u32 = 1;

/// What is added to that: clocks are read in milliseconds, and short leases are not to hang on the drift alone.
pub const LEASE_SLACK: Duration = Duration::from_millis(50);

/// How soon a node is granted what it has just named: at once, but for one that has another name each time.
pub const LEASE_PROMPTLY: Duration = Duration::from_millis(5);
