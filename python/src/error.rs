//! The exceptions, all of them subclasses of `ValueError`.

use core::fmt::Display;

use pyo3::exceptions::PyValueError;
use pyo3::{PyErr, create_exception};

create_exception!(vnetem, Error, PyValueError, "The base class of the errors of vnetem.");
create_exception!(
    vnetem,
    ArgumentError,
    Error,
    "An argument is not what it must be: no address, no time, no packet. Nothing has changed."
);
create_exception!(
    vnetem,
    EditError,
    Error,
    "The network refuses an edit, or knows no thing of a name. Nothing has changed."
);
create_exception!(
    vnetem,
    FilesError,
    Error,
    "A file cannot be read, or is none that vnetem knows. The message names it."
);
create_exception!(
    vnetem,
    ApplyError,
    Error,
    "A network is no successor of the one in force. Nothing has changed."
);

pub(crate) fn argument(why: impl Display) -> PyErr {
    ArgumentError::new_err(why.to_string())
}

pub(crate) fn refused(why: impl Display) -> PyErr {
    EditError::new_err(why.to_string())
}

pub(crate) fn unreadable(why: impl Display) -> PyErr {
    FilesError::new_err(why.to_string())
}
