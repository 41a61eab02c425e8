//! Fuzzes `catharsis_properties::signed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::signed(data));
