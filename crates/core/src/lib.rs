//! The purge domain and its engine.
//!
//! What this is: the nouns of purging (URLs, tasks, invalidations, nodes, receipts), the pure
//! decisions over them (`plan`, `coalesce`, `ready`, `decide`, `item_status`), and the two things
//! that drive them: [`service::PurgeService`] at the front, [`relay`] at the back.
//!
//! What this is not: there is no network, disk, HTTP, SQL or serde here. The world is reached
//! through the four traits of [`ports`] only.
//!
//! Invariant: a status is derived from cursors and refusals, never stored; a cursor moves only
//! after the effect and its fence.

pub mod limits;

pub mod abilities;
pub mod account;
pub mod area;
pub mod clock;
pub mod domain;
pub mod history;
pub mod invalidation;
pub mod keys;
pub mod notice;
pub mod quota;
pub mod receipt;
pub mod record;
pub mod target;
pub mod task;
pub mod topology;

pub mod batch;
pub mod beginning;
pub mod duty;
pub mod lease;
pub mod notify;
pub mod plan;
pub mod progress;
pub mod retry;
pub mod standing;
pub mod status;
pub mod task_receipts;

pub mod audit;
pub mod board;
pub mod error;
pub mod leasing;
pub mod level;
pub mod ports;
pub mod proof;
pub mod push;
pub mod relay;
pub mod returning;
pub mod service;
