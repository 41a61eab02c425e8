//! The crate seen from outside: raw requests go in, typed parameters or documented errors come out.

mod captures;
mod clients;
mod forms;
mod hostile;
mod support;
mod vectors;
