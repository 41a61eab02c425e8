//! What holds for each parser that a stranger reaches, whatever bytes come: one function a parser, which panics where it does not hold.
//!
//! What it is: the bodies of the fuzz targets (`fuzz/`), in a crate of the workspace so that each test run replays the committed corpus through them.
//! What it is not: tests of examples; those stand beside the parsers. Nothing here is linked into the service.
//!
//! Invariant: a property compares the parser with something written apart from it (the documented signature, a plain model of the flat names,
//! `serde_json`, `url`) or with itself on the same request written otherwise. "No panic" comes with every one of them.

mod authorization;
mod cache_prefix;
mod cache_url;
mod call;
mod cam_policy;
mod flat;
mod json;
mod outcome;
mod raw;
mod signed;
mod signing;

pub use authorization::authorization;
pub use cache_prefix::cache_prefix;
pub use cache_url::cache_url;
pub use call::call;
pub use cam_policy::cam_policy;
pub use flat::flat_params;
pub use json::json_params;
pub use signed::signed;

/// A property of a parser; takes any bytes, and panics where it does not hold.
pub type Property = fn(&[u8]);

/// Each property with the name of its fuzz target, which is also the name of its folder in `fuzz/corpus`.
pub const ALL: [(&str, Property); 8] = [
    ("authorization", authorization),
    ("cache_prefix", cache_prefix),
    ("cache_url", cache_url),
    ("call", call),
    ("cam_policy", cam_policy),
    ("flat_params", flat_params),
    ("json_params", json_params),
    ("signed", signed),
];

/// Whether a fault is to be put into what the property looks at, for this rare case.
const fn planted(rare: bool) -> bool {
    cfg!(feature = "planted") && rare
}
