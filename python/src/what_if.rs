//! What a change does to traffic.

use core::net::SocketAddrV4;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use vnetem_whatif::files::files_in;
use vnetem_whatif::{Change, Options, Report, Traffic, compare};

use crate::api::{self as vnetem, Applied, FiveTuple, Headers, Protocol, Settings, Time};
use crate::convert;
use crate::error::{ApplyError, argument, unreadable};
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// Tries traffic on a network before and after a change: the report as JSON, text and HTML.
#[pyfunction]
#[pyo3(signature = (before, after, flows = None))]
pub(crate) fn what_if(
    py: Python<'_>,
    before: &Bound<'_, Network>,
    after: &Bound<'_, Network>,
    flows: Option<Any<'_, '_>>,
) -> PyResult<(String, String, String)> {
    // Copies of what is committed have a common line.
    before.try_borrow_mut()?.network.commit();
    after.try_borrow_mut()?.network.commit();
    let mut before = before.try_borrow()?.clone();
    let mut after = after.try_borrow()?.clone();
    check_lineage(&mut before.network, &mut after.network)?;
    let mut traffic = Traffic::new();
    let mut files = Vec::new();
    if let Some(flows) = flows {
        read(flows, &mut traffic, &mut files)?;
    }
    py.detach(|| {
        read_files(&files, &after.network, &mut traffic)?;
        let report = report(before, after, &traffic);
        Ok((report.json(), report.to_string(), report.html()))
    })
}

fn report(mut before: Network, mut after: Network, traffic: &Traffic) -> Report {
    let change = Change::begin(&mut before.network).end(&mut after.network);
    match after.estate.as_ref().or(before.estate.as_ref()).map(Arc::as_ref) {
        Some(estate) => estate.report(&change, traffic, None),
        None => compare(&change, traffic, &Options::default()),
    }
}

/// Checks that one network was made from the other, so that equal numbers mean equal things.
fn check_lineage(before: &mut vnetem::Network, after: &mut vnetem::Network) -> PyResult<()> {
    let mut settings = Settings::replayable(0);
    settings.flows.capacity = 1;
    let mut plane = vnetem::DataPlane::new(before.commit(), settings);
    match plane.apply(Time(0), after.commit()) {
        Applied::Taken | Applied::Same => Ok(()),
        Applied::Older | Applied::OfAnotherNetwork => Err(ApplyError::new_err(
            "the network after is no successor of the one before: edit before.copy(), or take both \
             from load_change",
        )),
    }
}

/// Reads traffic: paths, flows and packets, one or several.
fn read(value: Any<'_, '_>, traffic: &mut Traffic, files: &mut Vec<PathBuf>) -> PyResult<()> {
    if read_one(value, traffic, files)? {
        return Ok(());
    }
    for item in value.try_iter()? {
        let item = item?;
        if !read_one(&item, traffic, files)? {
            let kind = item.get_type().name()?.to_string();
            return Err(argument(format!(
                "expected a path, a packet or a flow such as (\"tcp\", \"10.0.0.4\", 50001, \
                 \"20.60.0.4\", 443), not {kind}"
            )));
        }
    }
    Ok(())
}

fn read_one(value: Any<'_, '_>, traffic: &mut Traffic, files: &mut Vec<PathBuf>) -> PyResult<bool> {
    if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
        files.push(value.extract()?);
    } else if value.is_instance_of::<PyBytes>() || value.hasattr("__bytes__")? {
        let packet = convert::packet(value)?;
        let headers = Headers::parse(packet.as_bytes());
        let headers = headers.map_err(|cause| argument(format!("no packet of IPv4: {cause}")))?;
        traffic.add_flow(&headers.tuple());
    } else if let Ok(flow) = value.extract::<Bound<'_, PyTuple>>()
        && flow.len() == 5
    {
        traffic.add_flow(&tuple(&flow)?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn tuple(flow: &Bound<'_, PyTuple>) -> PyResult<FiveTuple> {
    let protocol = flow.get_item(0)?;
    let protocol = match protocol.extract() {
        Ok(number) => Protocol(number),
        Err(_) => {
            let words = [("tcp", Protocol::TCP), ("udp", Protocol::UDP), ("icmp", Protocol::ICMP)];
            convert::choose("protocol", &protocol.str()?.to_cow()?.to_ascii_lowercase(), &words)?
        }
    };
    let end = |at: usize| {
        let address = convert::address(&flow.get_item(at)?)?;
        PyResult::Ok(SocketAddrV4::new(address, flow.get_item(at + 1)?.extract()?))
    };
    Ok(FiveTuple { protocol, source: end(1)?, destination: end(3)? })
}

fn read_files(named: &[PathBuf], network: &vnetem::Network, traffic: &mut Traffic) -> PyResult<()> {
    let is_inside = |address| network.subnets().any(|(_, subnet)| subnet.prefix.contains(&address));
    for path in named {
        let below = match path.is_dir() {
            true => files_in(path).map_err(unreadable)?,
            false => vec![path.clone()],
        };
        for file in below {
            let before = traffic.tuples();
            read_file(&file, is_inside, traffic)?;
            if traffic.tuples() == before && file == *path {
                let why = "no flow log and no capture: it has no line of a flow";
                return Err(unreadable(format!("{}: {why}", file.display())));
            }
        }
    }
    Ok(())
}

fn read_file(
    path: &Path,
    is_inside: impl Fn(core::net::Ipv4Addr) -> bool,
    traffic: &mut Traffic,
) -> PyResult<()> {
    let name = path.display().to_string();
    let wrong = |error: &dyn core::fmt::Display| unreadable(format!("{name}: {error}"));
    let file = BufReader::new(File::open(path).map_err(|error| wrong(&error))?);
    let end = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    match end.to_ascii_lowercase().as_str() {
        "pcap" | "pcapng" | "cap" => {
            traffic.read_capture(&name, file, is_inside).map_err(|error| wrong(&error))
        }
        _ => traffic.read_flow_log(&name, file).map_err(|error| wrong(&error)),
    }
}
