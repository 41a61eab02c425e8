//! Fuzzes `catharsis_properties::call`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::call(data));
