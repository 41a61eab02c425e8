//! Fuzzes `catharsis_properties::cam_policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catharsis_properties::cam_policy(data));
