//! From the bytes of a file to a value: what is not quite JSON is read as well.
//!
//! Three in a hundred real files have a byte order mark, comments, trailing commas or raw line
//! breaks in strings. `serde_json` refuses them, and reads all others fast: it is asked first. What
//! it refuses is read by `jsonc-parser`, which takes these four, has a limit of depth and says line
//! and column.

use std::borrow::Cow;

use jsonc_parser::{JsonValue, ParseOptions};

use super::value::{Object, Value};
use super::{ImportProblem, not_ours};

/// Reads the JSON value of a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, ImportProblem> {
    let text = decode(bytes)?;
    let text = text.as_ref();
    let start = start_of_json(text);
    let json = text.get(start..).unwrap_or_default();
    if json.trim().is_empty() {
        return Err(ImportProblem::NotOurs(not_ours::EMPTY.to_owned()));
    }
    if let Ok(value) = serde_json::from_str(json) {
        return Ok(value);
    }
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match jsonc_parser::parse_to_value(json, &options) {
        Ok(Some(value)) => Ok(lenient(value)),
        Ok(None) => Err(ImportProblem::NotOurs(not_ours::EMPTY.to_owned())),
        Err(error) => {
            if let Some(what) = not_ours::text(text) {
                return Err(ImportProblem::NotOurs(what));
            }
            let before = text.get(..start).unwrap_or_default();
            let lines = before.matches('\n').count();
            let column = error.column_display();
            let column = if error.line_display() == 1 {
                column + before.chars().rev().take_while(|&c| c != '\n').count()
            } else {
                column
            };
            Err(ImportProblem::Syntax {
                line: lines + error.line_display(),
                column,
                found: error.kind().to_string().to_lowercase(),
            })
        }
    }
}

/// Decodes UTF-8 or UTF-16, with or without a byte order mark.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ImportProblem> {
    if let Some(what) = not_ours::binary(bytes) {
        return Err(ImportProblem::NotOurs(what));
    }
    let wide = |little: bool, bytes: &[u8]| {
        let units = bytes.chunks_exact(2).map(|pair| {
            let pair = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
            if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
        });
        Cow::Owned(char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => Ok(wide(true, rest)),
        [0xfe, 0xff, rest @ ..] => Ok(wide(false, rest)),
        [b'{' | b'[', 0, ..] => Ok(wide(true, bytes)),
        [0, b'{' | b'[', ..] => Ok(wide(false, bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(utf8(rest)?),
        _ => Ok(utf8(bytes)?),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, ImportProblem> {
    core::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line_start = memchr::memrchr(b'\n', good).map_or(0, |at| at + 1);
        ImportProblem::Syntax {
            line: memchr::memchr_iter(b'\n', good).count() + 1,
            column: good.len() - line_start + 1,
            found: "bytes that are neither UTF-8 nor UTF-16 text".to_owned(),
        }
    })
}

/// Where the JSON begins: `az` leaves the line of its progress spinner, ` - Finished ..`, before
/// it.
fn start_of_json(text: &str) -> usize {
    let trimmed = text.trim_start();
    let skipped = text.len() - trimmed.len();
    let spinner = trimmed.trim_start_matches(['-', '\\', '|', '/', ' ']);
    let is_spinner = ["Finished", "Running", "Starting", "InProgress"]
        .iter()
        .any(|word| spinner.starts_with(word));
    if !is_spinner {
        return skipped;
    }
    trimmed.find(['{', '[']).map_or(skipped, |at| skipped + at)
}

fn lenient(value: JsonValue<'_>) -> Value {
    match value {
        JsonValue::Null => Value::Null,
        JsonValue::Boolean(truth) => Value::Bool(truth),
        JsonValue::Number(digits) => match digits.parse() {
            Ok(number) => Value::Int(number),
            Err(_) => digits.parse().map_or(Value::Null, Value::Float),
        },
        JsonValue::String(text) => Value::text(text),
        JsonValue::Array(items) => Value::list(items.into_iter().map(lenient).collect()),
        JsonValue::Object(fields) => {
            let fields =
                fields.into_iter().map(|(name, value)| (name.into_owned(), lenient(value)));
            Value::object(fields.collect::<Object>())
        }
    }
}
