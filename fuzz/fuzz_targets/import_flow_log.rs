#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vnetem_verify::fuzz::import_flow_log(bytes));
