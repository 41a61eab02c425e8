//! Stores: where tasks, cursors and receipts are kept.

pub mod sqlite;
