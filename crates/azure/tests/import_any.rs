//! Whatever a file holds, the importers end and do not panic.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;
use vnetem_azure::import::{Importer, flow_log};

/// Files of the corpus that are small enough to be read often.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files = Vec::new();
    for folder in ["arm", "az", "terraform", "whatif", "flowlogs", "routes", "synthetic"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files.sort();
    files.into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes.len() < 40_000).collect()
});

static VALUES: LazyLock<Vec<Value>> =
    LazyLock::new(|| FILES.iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).collect());

/// Reads bytes in every way that there is.
fn read(bytes: &[u8]) {
    let mut importer = Importer::new();
    if importer.read("any", bytes).is_ok() {
        for inventory in [importer.inventory(), importer.before()] {
            assert!(serde_json::to_string(&inventory.model()).is_ok());
        }
    }
    let mut traffic = flow_log::Traffic::new();
    _ = flow_log::read(bytes, |record, tuple| traffic.add(record, tuple));
}

/// Numbers that a seed gives.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }

    fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.throw(items.len())]
    }
}

/// A part of a value, some way down.
fn part<'a>(mut value: &'a Value, dice: &mut Dice) -> &'a Value {
    for _ in 0..dice.throw(8) {
        let inner: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => break,
        };
        if inner.is_empty() {
            break;
        }
        value = inner[dice.throw(inner.len())];
    }
    value
}

const LEAVES: [&str; 14] = [
    "null",
    "true",
    "-1",
    "1e300",
    "99999999999999999999",
    "\"\"",
    "[]",
    "{}",
    "\"[\"",
    "\"[concat(parameters('x'), reference('y').z[0])]\"",
    "\"10.0.0.0/33\"",
    "\"<x>\"",
    "\"::/0\"",
    "[[[[{}]]]]",
];

/// Puts parts of other files, or leaves, into a value.
fn graft(value: &mut Value, dice: &mut Dice) {
    let mut place = value;
    for _ in 0..dice.throw(14) {
        let next = match &*place {
            Value::Array(items) if !items.is_empty() => dice.throw(items.len()),
            Value::Object(fields) if !fields.is_empty() => dice.throw(fields.len()),
            _ => break,
        };
        place = match place {
            Value::Array(items) => &mut items[next],
            Value::Object(fields) => fields.values_mut().nth(next).unwrap(),
            _ => unreachable!(),
        };
    }
    *place = match dice.throw(3) {
        0 => serde_json::from_str(LEAVES[dice.throw(LEAVES.len())]).unwrap_or_default(),
        _ => part(&VALUES[dice.throw(VALUES.len())], dice).clone(),
    };
}

/// An expression of ARM's language, or nearly one.
fn expression(dice: &mut Dice, depth: usize) -> String {
    const NAMES: [&str; 40] = [
        "concat",
        "format",
        "split",
        "if",
        "and",
        "or",
        "not",
        "equals",
        "length",
        "range",
        "union",
        "createArray",
        "createObject",
        "substring",
        "take",
        "skip",
        "parameters",
        "variables",
        "reference",
        "resourceId",
        "copyIndex",
        "map",
        "filter",
        "reduce",
        "lambda",
        "lambdaVariables",
        "json",
        "string",
        "int",
        "padLeft",
        "replace",
        "cidrSubnet",
        "cidrHost",
        "flatten",
        "toObject",
        "sort",
        "first",
        "coalesce",
        "base64ToString",
        "tryGet",
    ];
    const ENDS: [&str; 8] =
        ["'a'", "''", "1", "-1", "9223372036854775807", "'x'", "'é'", "'10.0.0.0/8'"];
    let mut text = if depth == 0 || dice.throw(4) == 0 {
        (*dice.one(&ENDS)).to_owned()
    } else {
        let arguments: Vec<_> = (0..dice.throw(4)).map(|_| expression(dice, depth - 1)).collect();
        format!("{}({})", dice.one(&NAMES), arguments.join(", "))
    };
    match dice.throw(8) {
        0 => text.push_str(".name"),
        1 => text.push_str(".?name"),
        2 => text.push_str("[0]"),
        3 => text = format!("{text}['x']"),
        _ => {}
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn broken_files_end(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let mut bytes = dice.one(&FILES).clone();
        for _ in 0..=dice.throw(6) {
            let at = dice.throw(bytes.len());
            let length = dice.throw(40).min(bytes.len() - at);
            match dice.throw(4) {
                0 => _ = bytes.drain(at..at + length),
                1 => bytes.splice(at..at, *b"\"[{,:").for_each(drop),
                2 => bytes[at] = u8::try_from(dice.throw(256)).unwrap(),
                _ => {
                    let copy = bytes[at..at + length].to_vec();
                    let to = dice.throw(bytes.len());
                    bytes.splice(to..to, copy).for_each(drop);
                }
            }
        }
        read(&bytes);
    }

    #[test]
    fn grafted_files_end(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let mut value = dice.one(&VALUES).clone();
        for _ in 0..=dice.throw(8) {
            graft(&mut value, &mut dice);
        }
        read(value.to_string().as_bytes());
    }

    #[test]
    fn any_expressions_end(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let mut text = || format!("[{}]", expression(&mut dice, 5));
        let template = serde_json::json!({
            "contentVersion": "1.0.0.0",
            "parameters": { "a": { "type": "array", "defaultValue": text() }, "x": { "type": "string" } },
            "variables": { "a": text(), "x": { "name": text() },
                "copy": [ { "name": "c", "count": text(), "input": text() } ] },
            "resources": [ { "type": "Microsoft.Network/virtualNetworks", "name": text(), "condition": text(),
                "copy": { "name": "x", "count": text() },
                "properties": { "addressSpace": text(), "subnets": text() } } ],
        });
        read(template.to_string().as_bytes());
    }
}
