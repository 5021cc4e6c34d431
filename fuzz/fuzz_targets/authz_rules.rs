#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vnetem_lab::fuzz::authz_rules(bytes));
