//! Puts any bytes through the importers. They must not panic, and their answer must not outgrow the
//! file.

use vnetem_azure::ServiceTags;
use vnetem_azure::import::{FileKind, Importer, LoadedNetwork, flow_log};

/// The most characters of a model for each byte of its file. Names and places repeat in a model.
const GROWTH: usize = 100;

/// Puts any bytes through the importer of networks: reads, joins, makes a network and changes it.
///
/// # Panics
///
/// The importer panics, or the model is far longer than its file.
pub fn import_file(bytes: &[u8]) {
    let mut importer = Importer::new();
    let Ok(kind) = importer.read("file", bytes) else { return };
    if kind == FileKind::FlowLog {
        return import_flow_log(bytes);
    }
    let (before, after) = (importer.before(), importer.inventory());
    let model = format!("{:?}", after.model());
    assert!(model.len() <= 100_000 + GROWTH * bytes.len(), "{} of {}", model.len(), bytes.len());
    let tags = importer.service_tags().cloned().unwrap_or_else(ServiceTags::embedded);
    let mut loaded = LoadedNetwork::new(tags);
    loaded.update(&before);
    let generation = loaded.network.commit().generation();
    loaded.update(&after);
    assert!(loaded.network.commit().generation() >= generation, "a change went back");
}

/// Puts any bytes through the reader of flow logs.
///
/// # Panics
///
/// The reader panics, or counts more lines than it returns.
pub fn import_flow_log(bytes: &[u8]) {
    let (mut lines, mut traffic) = (0_u64, flow_log::Traffic::new());
    let read = flow_log::read(bytes, |head, tuple| {
        lines += 1;
        traffic.add(head, tuple);
    });
    if let Ok(summary) = read {
        assert_eq!(summary.tuples, lines, "lines that were given on");
        assert!(summary.denied <= summary.tuples && traffic.len() as u64 <= lines, "{summary:?}");
    }
}
