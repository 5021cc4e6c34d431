#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vnetem_verify::fuzz::port_pool_ops(bytes));
