#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vnetem_lab::fuzz::import_file(bytes));
