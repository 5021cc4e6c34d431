//! Turns what Python programs have into what the core takes, and back.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::api::{IdleMinutes, Time};
use crate::error::argument;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// Reads an address from `str` or `ipaddress`.
pub(crate) fn address(value: Any<'_, '_>) -> PyResult<Ipv4Addr> {
    let text = text(value, "an IPv4 address")?;
    text.parse().map_err(|_| argument(format!("{text} is no IPv4 address")))
}

/// Reads a prefix from `str` or `ipaddress`. An address is a prefix of length 32.
pub(crate) fn prefix(value: Any<'_, '_>) -> PyResult<Ipv4Net> {
    let text = text(value, "an IPv4 prefix")?;
    let one = || text.parse::<Ipv4Addr>().map(Ipv4Net::from);
    text.parse().or_else(|_| one()).map_err(|_| argument(format!("{text} is no IPv4 prefix")))
}

/// Reads one thing, or an iterable of things.
pub(crate) fn many<T>(value: Any<'_, '_>, one: fn(Any<'_, '_>) -> PyResult<T>) -> PyResult<Vec<T>> {
    // A network of `ipaddress` is iterable too.
    if value.is_none() {
        return Ok(Vec::new());
    }
    if value.is_instance_of::<PyString>() || is_of_ipaddress(value) {
        return Ok(vec![one(value)?]);
    }
    value.try_iter()?.map(|item| one(&item?)).collect()
}

pub(crate) fn addresses(value: Any<'_, '_>) -> PyResult<Vec<Ipv4Addr>> {
    many(value, address)
}

pub(crate) fn prefixes(value: Any<'_, '_>) -> PyResult<Vec<Ipv4Net>> {
    many(value, prefix)
}

/// Reads one `str`, or an iterable of them.
pub(crate) fn words(value: Any<'_, '_>) -> PyResult<Vec<String>> {
    many(value, |item| item.extract())
}

/// Reads one path, or an iterable of them.
pub(crate) fn paths(value: Any<'_, '_>) -> PyResult<Vec<PathBuf>> {
    match value.extract::<PathBuf>() {
        Ok(path) => Ok(vec![path]),
        Err(_) => many(value, |item| item.extract()),
    }
}

fn is_of_ipaddress(value: Any<'_, '_>) -> bool {
    value.get_type().module().is_ok_and(|module| module == "ipaddress")
}

fn text(value: Any<'_, '_>, what: &str) -> PyResult<String> {
    if value.is_instance_of::<PyString>() || is_of_ipaddress(value) {
        return Ok(value.str()?.to_string());
    }
    let kind = value.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("expected {what} as str or of ipaddress, not {kind}")))
}

/// Reads seconds, as a number or a `timedelta`. Without any the clock stands still.
pub(crate) fn time(value: Option<Any<'_, '_>>) -> PyResult<Time> {
    let Some(value) = value else { return Ok(Time(0)) };
    let seconds: f64 = match value.extract() {
        Ok(seconds) => seconds,
        Err(error) => match value.call_method0("total_seconds") {
            Ok(seconds) => seconds.extract()?,
            Err(_) => return Err(error),
        },
    };
    let span = Duration::try_from_secs_f64(seconds);
    let nanoseconds = span.ok().and_then(|span| u64::try_from(span.as_nanos()).ok());
    nanoseconds.map(Time).ok_or_else(|| {
        argument(format!("{seconds} is no time: expected seconds since an origin of your choice"))
    })
}

pub(crate) fn seconds(time: Time) -> f64 {
    Duration::from_nanos(time.0).as_secs_f64()
}

/// Reads a packet: `bytes`, an object that turns into `bytes`, such as a packet of scapy, or a
/// buffer.
pub(crate) fn packet<'py>(value: Any<'_, 'py>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let made = match value.getattr_opt("__bytes__")? {
        Some(bytes) => bytes.call0()?,
        None => buffer(value)?,
    };
    Ok(made.extract()?)
}

fn buffer<'py>(value: Any<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(value);
    let kind = value.get_type().name()?.to_string();
    let wrong = format!("expected a packet: bytes, a buffer or a packet of scapy, not {kind}");
    view.map_err(|_| PyTypeError::new_err(wrong))?.call_method0("tobytes")
}

/// Returns an address and a port, of which Python makes a pair.
pub(crate) fn socket(end: SocketAddrV4) -> (Ipv4Addr, u16) {
    (*end.ip(), end.port())
}

pub(crate) fn idle(minutes: Option<u8>) -> PyResult<Option<IdleMinutes>> {
    let made = |minutes| {
        let wrong = || argument(format!("{minutes} minutes: expected 4 to 120"));
        IdleMinutes::new(minutes).ok_or_else(wrong)
    };
    minutes.map(made).transpose()
}

/// Chooses by a word. The error lists the words.
pub(crate) fn choose<T: Copy>(what: &str, word: &str, choices: &[(&str, T)]) -> PyResult<T> {
    let found = choices.iter().find(|(name, _)| *name == word);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        argument(format!("{word:?} is no {what}: expected {}", names.join(", ")))
    })
}
