//! The commands against a scripted service: what they send, what they print, how they end.

mod admin;
mod purge;
mod scripted;
