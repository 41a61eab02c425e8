//! Logs: the ordered invalidations of each area.

pub mod embedded;
