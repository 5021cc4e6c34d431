//! Functions of ARM's expressions over plain values: texts, numbers, truth.

use core::fmt::Write as _;

use super::super::value::Value;

/// Calls a function; none if it is not one of these.
pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let arguments = Arguments { name, list: arguments };
    let value = match name {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        "null" => Ok(Value::Null),
        "tolower" => arguments.text(0).map(|text| Value::text(text.to_lowercase())),
        "toupper" => arguments.text(0).map(|text| Value::text(text.to_uppercase())),
        "trim" => arguments.text(0).map(|text| Value::text(text.trim())),
        "string" => arguments.any(0).map(|value| Value::text(string(value))),
        "int" => arguments.int(0).map(Value::Int),
        "float" => arguments.text(0).and_then(|text| {
            text.parse().map(Value::Float).map_err(|_| format!("\"{text}\" is no number"))
        }),
        "bool" => arguments.any(0).and_then(|value| match value {
            Value::Int(number) => Ok(Value::Bool(*number != 0)),
            Value::Text(text) if &**text == "1" || &**text == "0" => {
                Ok(Value::Bool(&**text == "1"))
            }
            other => {
                other.as_bool().map(Value::Bool).ok_or_else(|| format!("{other} is no truth value"))
            }
        }),
        "add" => arguments.number(i64::checked_add),
        "sub" => arguments.number(i64::checked_sub),
        "mul" => arguments.number(i64::checked_mul),
        "div" => arguments.number(i64::checked_div),
        "mod" => arguments.number(i64::checked_rem),
        "min" | "max" => least(&arguments, name == "min"),
        "equals" => arguments.any(0).and_then(|one| Ok(Value::Bool(equal(one, arguments.any(1)?)))),
        "not" => arguments.truth(0).map(|truth| Value::Bool(!truth)),
        "xor" => arguments.truth(0).and_then(|one| Ok(Value::Bool(one != arguments.truth(1)?))),
        "less" => arguments.compare(core::cmp::Ordering::is_lt),
        "lessorequals" => arguments.compare(core::cmp::Ordering::is_le),
        "greater" => arguments.compare(core::cmp::Ordering::is_gt),
        "greaterorequals" => arguments.compare(core::cmp::Ordering::is_ge),
        "startswith" => arguments
            .texts()
            .map(|(text, part)| Value::Bool(text.to_lowercase().starts_with(&part.to_lowercase()))),
        "endswith" => arguments
            .texts()
            .map(|(text, part)| Value::Bool(text.to_lowercase().ends_with(&part.to_lowercase()))),
        "replace" => arguments.texts().and_then(|(text, old)| {
            let new = arguments.text(2)?;
            let size = text.len() + text.matches(old.as_str()).count().saturating_mul(new.len());
            if old.is_empty() || size > MAX_TEXT {
                return Err("a replacement that is too large".to_owned());
            }
            Ok(Value::text(text.replace(old.as_str(), &new)))
        }),
        "substring" => substring(&arguments),
        "split" => split(&arguments),
        "padleft" => pad(&arguments),
        "format" => format(&arguments),
        "join" => arguments.any(0).and_then(|list| {
            let items: Vec<_> = list.items().iter().map(string).collect();
            Ok(Value::text(items.join(&arguments.text(1)?)))
        }),
        "base64" => arguments.text(0).map(|text| Value::text(base64(text.as_bytes()))),
        "base64tostring" => arguments.text(0).and_then(|text| from_base64(&text).map(Value::text)),
        "uri" => arguments.texts().map(|(base, path)| {
            let base = base.rsplit_once('/').map_or(base.as_str(), |(start, _)| start);
            Value::text(format!("{base}/{}", path.trim_start_matches('/')))
        }),
        "uricomponent" => arguments.text(0).map(|text| Value::text(escaped(&text))),
        "json" => arguments.text(0).and_then(|text| {
            super::super::text::read(text.as_bytes()).map_err(|error| error.to_string())
        }),
        "uniquestring" | "guid" => {
            let texts: Vec<_> = arguments.list.iter().map(string).collect();
            Ok(Value::text(if name == "guid" {
                guid(&texts.join("|"))
            } else {
                unique(&texts.join("|"))
            }))
        }
        "newguid" => Ok(Value::text(guid("new"))),
        "utcnow" => Ok(Value::text("20260101T000000Z")),
        _ => return None,
    };
    Some(value)
}

/// The longest text that a function makes.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// The arguments of a call, with the words for what is wrong with them.
pub(super) struct Arguments<'a> {
    pub(super) name: &'a str,
    pub(super) list: &'a [Value],
}

impl Arguments<'_> {
    pub(super) fn any(&self, place: usize) -> Result<&Value, String> {
        self.list.get(place).ok_or_else(|| format!("{} lacks an argument", self.name))
    }

    pub(super) fn text(&self, place: usize) -> Result<String, String> {
        match self.any(place)? {
            Value::Text(text) => Ok(text.to_string()),
            Value::Int(number) => Ok(number.to_string()),
            other => Err(format!("{} is given {} instead of text", self.name, other.kind())),
        }
    }

    fn texts(&self) -> Result<(String, String), String> {
        Ok((self.text(0)?, self.text(1)?))
    }

    pub(super) fn int(&self, place: usize) -> Result<i64, String> {
        let value = self.any(place)?;
        #[allow(clippy::cast_possible_truncation, reason = "ARM cuts numbers off as well")]
        let cut = |number: f64| number as i64;
        match value {
            Value::Float(number) => Ok(cut(*number)),
            other => other.as_int().ok_or_else(|| {
                format!("{} is given {} instead of a number", self.name, other.kind())
            }),
        }
    }

    fn truth(&self, place: usize) -> Result<bool, String> {
        let value = self.any(place)?;
        let wrong = || format!("{} is given {} instead of a truth value", self.name, value.kind());
        value.as_bool().ok_or_else(wrong)
    }

    fn number(&self, with: impl Fn(i64, i64) -> Option<i64>) -> Result<Value, String> {
        let result = with(self.int(0)?, self.int(1)?);
        result.map(Value::Int).ok_or_else(|| format!("{} has no result", self.name))
    }

    fn compare(&self, is: impl Fn(core::cmp::Ordering) -> bool) -> Result<Value, String> {
        let order = match (self.any(0)?, self.any(1)?) {
            (Value::Text(one), Value::Text(other)) => one.cmp(other),
            _ => self.int(0)?.cmp(&self.int(1)?),
        };
        Ok(Value::Bool(is(order)))
    }
}

fn least(arguments: &Arguments<'_>, least: bool) -> Result<Value, String> {
    let list = match arguments.list {
        [Value::List(items)] => items.as_slice(),
        other => other,
    };
    let numbers = list.iter().filter_map(Value::as_int);
    let found = if least { numbers.min() } else { numbers.max() };
    found.map(Value::Int).ok_or_else(|| format!("{} of no number", arguments.name))
}

/// Whether two values are equal, numbers by value.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Int(one), Value::Float(other)) | (Value::Float(other), Value::Int(one)) => {
            #[allow(clippy::cast_precision_loss, reason = "so does ARM")]
            let one = *one as f64;
            (one - other).abs() < f64::EPSILON
        }
        _ => one == other,
    }
}

fn substring(arguments: &Arguments<'_>) -> Result<Value, String> {
    let text = arguments.text(0)?;
    let start = usize::try_from(arguments.int(1)?).map_err(|_| "a start before the text")?;
    let length = match arguments.list.get(2) {
        Some(_) => usize::try_from(arguments.int(2)?).map_err(|_| "a length below zero")?,
        None => text.chars().count().saturating_sub(start),
    };
    if start.saturating_add(length) > text.chars().count() {
        return Err(format!("\"{text}\" is shorter than the part that is asked of it"));
    }
    Ok(Value::text(text.chars().skip(start).take(length).collect::<String>()))
}

fn split(arguments: &Arguments<'_>) -> Result<Value, String> {
    let text = arguments.text(0)?;
    let delimiters: Vec<String> =
        arguments.any(1)?.items().iter().filter_map(Value::as_text).map(str::to_owned).collect();
    let mut parts = vec![text];
    for delimiter in delimiters.iter().filter(|delimiter| !delimiter.is_empty()) {
        let split = |part: &String| -> Vec<String> {
            part.split(delimiter.as_str()).map(str::to_owned).collect()
        };
        parts = parts.iter().flat_map(split).collect();
    }
    Ok(Value::list(parts.into_iter().map(Value::text).collect()))
}

fn pad(arguments: &Arguments<'_>) -> Result<Value, String> {
    let text = arguments.text(0)?;
    let length = usize::try_from(arguments.int(1)?).unwrap_or(0);
    let with = match arguments.list.get(2) {
        Some(Value::Text(text)) => text.chars().next().unwrap_or(' '),
        Some(other) => string(other).chars().next().unwrap_or(' '),
        None => ' ',
    };
    if length > MAX_TEXT {
        return Err("a text that is too long".to_owned());
    }
    let missing = length.saturating_sub(text.chars().count());
    Ok(Value::text(core::iter::repeat_n(with, missing).chain(text.chars()).collect::<String>()))
}

/// Fills the places `{0}`, `{1:D2}`, `{2,5}` of a text.
fn format(arguments: &Arguments<'_>) -> Result<Value, String> {
    let pattern = arguments.text(0)?;
    let mut text = String::new();
    let mut rest = pattern.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            text.push_str(rest.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let Some((inner, after)) = rest.get(1..).and_then(|inner| inner.split_once('}')) else {
            return Err(format!("\"{pattern}\" has a bracket without its pair"));
        };
        let (place, shape) = inner.split_once(':').unwrap_or((inner, ""));
        let (place, width) = place.split_once(',').unwrap_or((place, ""));
        let place: usize =
            place.trim().parse().map_err(|_| format!("\"{{{inner}}}\" is no place"))?;
        let value = string(arguments.any(place.saturating_add(1))?);
        let value = match shape.split_at_checked(1) {
            Some(("D" | "d", digits)) => match (value.parse::<i64>(), digits.parse::<usize>()) {
                (Ok(number), Ok(digits)) if digits < 64 => format!("{number:0digits$}"),
                _ => value,
            },
            _ => value,
        };
        let width: i32 = width.trim().parse().unwrap_or(0);
        let blanks = usize::try_from(width.unsigned_abs()).unwrap_or(0).min(256);
        let blanks = blanks.saturating_sub(value.chars().count());
        let blanks = " ".repeat(blanks);
        if width > 0 {
            text.push_str(&blanks);
        }
        text.push_str(&value);
        if width < 0 {
            text.push_str(&blanks);
        }
        if text.len() > MAX_TEXT {
            return Err("a text that is too long".to_owned());
        }
        rest = after;
    }
    text.push_str(rest);
    Ok(Value::text(text))
}

/// A value as text: JSON for what is not plain.
pub(super) fn string(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, true, &mut text);
    text
}

fn write_value(value: &Value, bare: bool, text: &mut String) {
    if text.len() > MAX_TEXT {
        return;
    }
    let quoted = |value: &str| serde_json::to_string(value).unwrap_or_default();
    match value {
        Value::Null => text.push_str(if bare { "" } else { "null" }),
        Value::Bool(truth) => text.push_str(match (truth, bare) {
            (true, true) => "True",
            (false, true) => "False",
            (true, false) => "true",
            (false, false) => "false",
        }),
        Value::Int(number) => _ = write!(text, "{number}"),
        Value::Float(number) => _ = write!(text, "{number}"),
        Value::Text(inner) if bare => text.push_str(inner),
        Value::Text(inner) => text.push_str(&quoted(inner)),
        Value::Unknown(unknown) => text.push_str(&unknown.why),
        Value::List(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(item, false, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (place, (name, field)) in fields.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(name));
                text.push(':');
                write_value(field, false, text);
            }
            text.push('}');
        }
    }
}

/// A hash of a text that is the same on every machine (FNV-1a).
fn hash(text: &str, seed: u64) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Thirteen letters and digits that stand in for what the platform would make.
pub(super) fn unique(text: &str) -> String {
    let mut hash = hash(text, 0);
    let mut letters = String::new();
    for _ in 0..13 {
        let digit = u32::try_from(hash % 32).unwrap_or(0);
        letters.push(char::from_digit(digit, 32).unwrap_or('a'));
        hash /= 32;
    }
    letters
}

fn guid(text: &str) -> String {
    let (one, other) = (hash(text, 1), hash(text, 2));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        one >> 32,
        (one >> 16) & 0xffff,
        one & 0xffff,
        other >> 48,
        other & 0xffff_ffff_ffff
    )
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            let letter = DIGITS.get(digit).copied().map_or('=', char::from);
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

fn from_base64(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte);
        let digit = digit.and_then(|digit| u32::try_from(digit).ok()).ok_or("no base64 text")?;
        bits = (bits << 6 | digit) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    String::from_utf8(bytes).map_err(|_| "base64 of what is no text".to_owned())
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
