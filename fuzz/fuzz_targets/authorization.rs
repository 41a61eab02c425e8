//! Fuzzes `catharsis_properties::authorization`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::authorization(data));
