//! Compares the data plane with references, and checks what holds under any input.

mod blocks;
mod churn;
mod front_pages;
mod fuzz_replay;
mod imported_routes;
mod model;
mod model_found;
mod toggles;
