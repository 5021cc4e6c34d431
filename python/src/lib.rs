//! vnetem for Python: the classes and functions of the module `vnetem`.

mod api;
mod batch;
mod convert;
mod edge;
mod edits;
mod error;
mod event;
mod load;
mod names;
mod network;
mod plane;
mod trace;
mod verdict;
mod what_if;

/// The compiled part of `vnetem`. Import from `vnetem` itself.
#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::batch::Verdicts;
    #[pymodule_export]
    use crate::edge::Edge;
    #[pymodule_export]
    use crate::edits::SecurityRule;
    #[pymodule_export]
    use crate::error::{ApplyError, ArgumentError, EditError, Error, FilesError};
    #[pymodule_export]
    use crate::event::{Event, Transmit};
    #[pymodule_export]
    use crate::load::{load, load_change};
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::plane::DataPlane;
    #[pymodule_export]
    use crate::trace::{Trace, TraceStep};
    #[pymodule_export]
    use crate::verdict::Verdict;
    #[pymodule_export]
    use crate::what_if::what_if;
}
