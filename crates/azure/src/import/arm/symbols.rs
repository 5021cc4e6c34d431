//! Texts that stand for parameters without a value.

use super::super::value::Value;
use super::evaluate::{Evaluator, unknown};
use super::values;

impl Evaluator {
    /// What cannot be said of a text that stands for a parameter without a value.
    pub(super) fn symbolic(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        let asks = [
            "equals",
            "contains",
            "startswith",
            "endswith",
            "empty",
            "length",
            "indexof",
            "lastindexof",
            "substring",
            "split",
            "int",
            "bool",
            "float",
            "less",
            "greater",
            "lessorequals",
            "greaterorequals",
            "json",
            "base64tostring",
            "cidrsubnet",
            "cidrhost",
            "parsecidr",
            "take",
            "skip",
            "first",
            "last",
        ];
        if !asks.contains(&name) {
            return None;
        }
        let symbol = arguments.iter().find_map(|value| self.symbol_in(value))?;
        let first = arguments.first().and_then(Value::as_text).unwrap_or_default();
        let other = arguments.get(1).and_then(Value::as_text);
        // What stands beside the symbol is known.
        let alone =
            first.starts_with('<') && first.ends_with('>') && first.matches('<').count() == 1;
        let start = first.split('<').next().unwrap_or_default();
        let end = first.rsplit('>').next().unwrap_or_default();
        let ambient =
            ["location", "subscription", "resource-group", "tenant"].contains(&symbol.as_str());
        let known = match (name, other) {
            ("equals", _) => arguments.first() == arguments.get(1),
            ("empty", _) if !alone || ambient => return Some(Value::Bool(false)),
            ("contains", Some(part)) if start.contains(part) || end.contains(part) => true,
            ("startswith", Some(part)) => start.to_lowercase().starts_with(&part.to_lowercase()),
            ("endswith", Some(part)) => end.to_lowercase().ends_with(&part.to_lowercase()),
            // Names and groups hold no slashes.
            ("split", Some(_)) => !alone || ambient,
            _ => false,
        };
        if known {
            return None;
        }
        if matches!(name, "substring" | "take" | "skip") {
            // A part of it is as little known, and the same part is the same.
            let places: Vec<_> = arguments.iter().skip(1).map(values::string).collect();
            let whole = if alone { String::new() } else { format!("-{}", values::unique(first)) };
            let name = symbol.split('[').next().unwrap_or_default();
            return Some(Value::text(format!("<{name}[{}{whole}]>", places.join(","))));
        }
        Some(unknown(format!("hangs on {symbol}, which has no value")))
    }

    /// The parameter without a value that a text stands for.
    pub(super) fn symbol_in(&self, value: &Value) -> Option<String> {
        let text = value.as_text()?;
        let symbol = super::super::extract::symbol(text)?;
        let missing = self.missing.borrow();
        let name = symbol.split('[').next().unwrap_or_default();
        missing.contains(&name.to_ascii_lowercase()).then(|| symbol.to_owned())
    }
}
