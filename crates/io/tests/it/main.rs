//! Reads and writes captures.

mod corpus;
mod read;
mod written;
