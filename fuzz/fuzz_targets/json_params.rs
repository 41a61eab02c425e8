//! Fuzzes `catharsis_properties::json_params`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::json_params(data));
