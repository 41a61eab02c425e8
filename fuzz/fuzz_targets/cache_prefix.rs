//! Fuzzes `catharsis_properties::cache_prefix`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::cache_prefix(data));
