//! Fuzzes `catharsis_properties::flat_params`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::flat_params(data));
