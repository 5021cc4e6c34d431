//! Functions of ARM's expressions over lists, objects and address ranges.

use core::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::super::value::{Object, Value, field};
use super::values::{Arguments, MAX_TEXT, equal, string};

/// The longest list that a function makes.
pub(super) const MAX_ITEMS: usize = 100_000;

/// Calls a function; none if it is not one of these.
pub(super) fn call(name: &str, list: &[Value]) -> Option<Result<Value, String>> {
    let arguments = Arguments { name, list };
    let value = match name {
        "createarray" => Ok(Value::list(list.to_vec())),
        "createobject" => object(&arguments),
        "array" => arguments.any(0).map(|value| match value {
            Value::List(_) => value.clone(),
            other => Value::list(vec![other.clone()]),
        }),
        "concat" => concat(&arguments),
        "length" => arguments.any(0).and_then(|value| {
            let length = match value {
                Value::List(items) => items.len(),
                Value::Object(fields) => fields.len(),
                Value::Text(text) => text.chars().count(),
                Value::Null => 0,
                other => return Err(format!("length of {}", other.kind())),
            };
            Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
        }),
        "empty" => arguments.any(0).map(|value| {
            Value::Bool(match value {
                Value::Null => true,
                Value::List(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                Value::Text(text) => text.is_empty(),
                _ => false,
            })
        }),
        "contains" => contains(&arguments),
        "range" => range(&arguments),
        "first" | "last" => end(&arguments, name == "first"),
        "take" | "skip" => cut(&arguments, name == "take"),
        "indexof" | "lastindexof" => index(&arguments, name == "indexof"),
        "union" | "shallowmerge" => union(&arguments, name == "union"),
        "intersection" => intersection(&arguments),
        "flatten" => arguments.any(0).and_then(|value| {
            let items = value.items().iter().flat_map(Value::items);
            let items: Vec<_> = items.take(MAX_ITEMS + 1).cloned().collect();
            if items.len() > MAX_ITEMS {
                return Err("a list that is too long".to_owned());
            }
            Ok(Value::list(items))
        }),
        "objectkeys" => arguments.any(0).map(|value| {
            Value::list(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| Value::text(name))
                    .collect(),
            )
        }),
        "items" => arguments.any(0).map(|value| {
            let pair = |(name, value): (&String, &Value)| {
                Value::object(Object::from([
                    ("key".to_owned(), Value::text(name)),
                    ("value".to_owned(), value.clone()),
                ]))
            };
            Value::list(value.as_object().into_iter().flatten().map(pair).collect())
        }),
        "indexfromend" | "tryindexfromend" => arguments.any(0).and_then(|value| {
            let place = usize::try_from(arguments.int(1)?).unwrap_or(0);
            let items = value.items();
            let item = items.len().checked_sub(place).and_then(|place| items.get(place));
            match item {
                Some(item) => Ok(item.clone()),
                None if name == "tryindexfromend" => Ok(Value::Null),
                None => Err("an item that is not there".to_owned()),
            }
        }),
        "cidrsubnet" => cidr_subnet(&arguments),
        "cidrhost" => cidr_host(&arguments),
        "parsecidr" => parse_cidr(&arguments),
        _ => return None,
    };
    Some(value)
}

fn object(arguments: &Arguments<'_>) -> Result<Value, String> {
    let mut fields = Object::new();
    for pair in arguments.list.chunks(2) {
        let [name, value] = pair else { return Err("createObject lacks a value".to_owned()) };
        fields.insert(string(name), value.clone());
    }
    Ok(Value::object(fields))
}

fn concat(arguments: &Arguments<'_>) -> Result<Value, String> {
    if matches!(arguments.list.first(), Some(Value::List(_))) {
        let mut items = Vec::new();
        for value in arguments.list {
            items.extend(value.items().iter().cloned());
            if items.len() > MAX_ITEMS {
                return Err("a list that is too long".to_owned());
            }
        }
        return Ok(Value::list(items));
    }
    let mut text = String::new();
    for value in arguments.list {
        text.push_str(&string(value));
        if text.len() > MAX_TEXT {
            return Err("a text that is too long".to_owned());
        }
    }
    Ok(Value::text(text))
}

fn contains(arguments: &Arguments<'_>) -> Result<Value, String> {
    let wanted = arguments.any(1)?;
    let found = match arguments.any(0)? {
        Value::List(items) => items.iter().any(|item| equal(item, wanted)),
        Value::Object(fields) => field(fields, &string(wanted)).is_some(),
        Value::Text(text) => text.contains(&string(wanted)),
        Value::Null => false,
        other => return Err(format!("contains is given {}", other.kind())),
    };
    Ok(Value::Bool(found))
}

fn range(arguments: &Arguments<'_>) -> Result<Value, String> {
    let (start, count) = (arguments.int(0)?, arguments.int(1)?);
    if !(0..=10_000).contains(&count) {
        return Err(format!("a range of {count} numbers"));
    }
    let end = start.checked_add(count).ok_or("a range that has no end")?;
    Ok(Value::list((start..end).map(Value::Int).collect()))
}

fn end(arguments: &Arguments<'_>, first: bool) -> Result<Value, String> {
    let value = arguments.any(0)?;
    if let Value::Text(text) = value {
        let letter = if first { text.chars().next() } else { text.chars().last() };
        return Ok(Value::text(letter.map(String::from).unwrap_or_default()));
    }
    let items = value.items();
    let item = if first { items.first() } else { items.last() };
    Ok(item.cloned().unwrap_or_default())
}

fn cut(arguments: &Arguments<'_>, take: bool) -> Result<Value, String> {
    let count = usize::try_from(arguments.int(1)?.max(0)).unwrap_or(usize::MAX);
    match arguments.any(0)? {
        Value::Text(text) if take => Ok(Value::text(text.chars().take(count).collect::<String>())),
        Value::Text(text) => Ok(Value::text(text.chars().skip(count).collect::<String>())),
        Value::List(items) if take => Ok(Value::list(items.iter().take(count).cloned().collect())),
        Value::List(items) => Ok(Value::list(items.iter().skip(count).cloned().collect())),
        other => Err(format!("{} is given {}", arguments.name, other.kind())),
    }
}

fn index(arguments: &Arguments<'_>, first: bool) -> Result<Value, String> {
    let wanted = arguments.any(1)?;
    let found = match arguments.any(0)? {
        Value::List(items) if first => items.iter().position(|item| equal(item, wanted)),
        Value::List(items) => items.iter().rposition(|item| equal(item, wanted)),
        Value::Text(text) => {
            let (text, wanted) = (text.to_lowercase(), string(wanted).to_lowercase());
            let found = if first { text.find(&wanted) } else { text.rfind(&wanted) };
            found.map(|at| text.get(..at).unwrap_or_default().chars().count())
        }
        other => return Err(format!("{} is given {}", arguments.name, other.kind())),
    };
    Ok(Value::Int(found.and_then(|found| i64::try_from(found).ok()).unwrap_or(-1)))
}

fn union(arguments: &Arguments<'_>, deep: bool) -> Result<Value, String> {
    let list = match arguments.list {
        [Value::List(items)] if !deep => items.as_slice(),
        other => other,
    };
    if list.iter().any(|value| matches!(value, Value::Object(_))) {
        let mut fields = Object::new();
        for value in list {
            for (name, value) in value.as_object().into_iter().flatten() {
                let merged = match (fields.get(name), value) {
                    (Some(old @ Value::Object(_)), Value::Object(_)) if deep => {
                        merge(old, value, 0)
                    }
                    _ => value.clone(),
                };
                fields.insert(name.clone(), merged);
            }
        }
        return Ok(Value::object(fields));
    }
    let mut items: Vec<Value> = Vec::new();
    for item in list.iter().flat_map(Value::items) {
        if items.len() > 4_096 {
            return Err("a list that is too long".to_owned());
        }
        if !items.iter().any(|other| equal(other, item)) {
            items.push(item.clone());
        }
    }
    Ok(Value::list(items))
}

fn merge(old: &Value, new: &Value, depth: usize) -> Value {
    let (Value::Object(one), Value::Object(other)) = (old, new) else { return new.clone() };
    if depth > 50 {
        return new.clone();
    }
    let mut fields = one.as_ref().clone();
    for (name, value) in other.iter() {
        let merged =
            fields.get(name).map_or_else(|| value.clone(), |old| merge(old, value, depth + 1));
        fields.insert(name.clone(), merged);
    }
    Value::Object(Arc::new(fields))
}

fn intersection(arguments: &Arguments<'_>) -> Result<Value, String> {
    let first = arguments.any(0)?;
    let rest = arguments.list.get(1..).unwrap_or_default();
    if let Value::Object(fields) = first {
        let common = fields.iter().filter(|(name, value)| {
            rest.iter()
                .all(|other| other.as_object().and_then(|other| other.get(*name)) == Some(*value))
        });
        return Ok(Value::object(
            common.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ));
    }
    let common = first.items().iter().take(4_096).filter(|item| {
        rest.iter().all(|other| other.items().iter().take(4_096).any(|one| equal(one, item)))
    });
    Ok(Value::list(common.cloned().collect()))
}

fn network(arguments: &Arguments<'_>) -> Result<Ipv4Net, String> {
    let text = arguments.text(0)?;
    text.parse::<Ipv4Net>()
        .map(|net| net.trunc())
        .map_err(|_| format!("\"{text}\" is no IPv4 range"))
}

fn cidr_subnet(arguments: &Arguments<'_>) -> Result<Value, String> {
    let network = network(arguments)?;
    let length = u8::try_from(arguments.int(1)?).map_err(|_| "no length of a prefix")?;
    let index = u32::try_from(arguments.int(2)?).map_err(|_| "no number of a range")?;
    if length < network.prefix_len() || length > 32 {
        return Err(format!("no range of length {length} lies in {network}"));
    }
    let shift = 32 - u32::from(length);
    let count = 1_u64 << (length - network.prefix_len()).min(32);
    if u64::from(index) >= count {
        return Err(format!("{network} has no range {index} of length {length}"));
    }
    let offset = u32::try_from(u64::from(index) << shift).unwrap_or(0);
    let start = u32::from(network.network()).saturating_add(offset);
    Ok(Value::text(format!("{}/{length}", Ipv4Addr::from(start))))
}

fn cidr_host(arguments: &Arguments<'_>) -> Result<Value, String> {
    let network = network(arguments)?;
    let index = u32::try_from(arguments.int(1)?).map_err(|_| "no number of an address")?;
    // Azure keeps the first four addresses and counts behind the network's own.
    let address = u32::from(network.network()).checked_add(index).and_then(|at| at.checked_add(1));
    let address = address.map(Ipv4Addr::from).filter(|address| network.contains(address));
    address
        .map(|address| Value::text(address.to_string()))
        .ok_or_else(|| format!("{network} has no address {index}"))
}

fn parse_cidr(arguments: &Arguments<'_>) -> Result<Value, String> {
    let net = network(arguments)?;
    let offset = |address: Ipv4Addr, by: i64| {
        let number = i64::from(u32::from(address)) + by;
        Value::text(Ipv4Addr::from(u32::try_from(number).unwrap_or(0)).to_string())
    };
    Ok(Value::fields([
        ("network", Value::text(net.network().to_string())),
        ("netmask", Value::text(net.netmask().to_string())),
        ("broadcast", Value::text(net.broadcast().to_string())),
        ("firstUsable", offset(net.network(), 1)),
        ("lastUsable", offset(net.broadcast(), -1)),
        ("cidr", Value::Int(i64::from(net.prefix_len()))),
    ]))
}
