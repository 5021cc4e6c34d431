//! A JSON value in which a place may be unknown.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The fields of an object, by name.
pub(crate) type Object = BTreeMap<String, Value>;

/// A JSON value in which a place may be unknown. Clones share lists and objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    List(Arc<Vec<Value>>),
    Object(Arc<Object>),
    /// The file does not say it.
    Unknown(Arc<Unknown>),
}

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Where the file has it, such as `azurerm_route.fw.next_hop_in_ip_address`.
    pub(crate) path: String,
    /// What keeps it from being known.
    pub(crate) why: String,
}

static NULL: Value = Value::Null;

impl Value {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    pub(crate) fn object(fields: Object) -> Self {
        Self::Object(Arc::new(fields))
    }

    /// Makes an object of these fields, without those that are null.
    pub(crate) fn fields<const N: usize>(fields: [(&str, Self); N]) -> Self {
        let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
        Self::object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Makes a reference as ARM writes it, `{ "id": ... }`; null stays null.
    pub(crate) fn reference(id: Self) -> Self {
        if id.is_null() { id } else { Self::fields([("id", id)]) }
    }

    pub(crate) fn unknown(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Unknown(Arc::new(Unknown { path: path.into(), why: why.into() }))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    pub(crate) fn as_object(&self) -> Option<&Object> {
        if let Self::Object(fields) = self { Some(fields) } else { None }
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(digits) => digits.trim().parse().ok(),
            _ => None,
        }
    }

    /// Reads a truth value; exports write some as text.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The items of a list; a single value counts as a list of one, null as none.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Null => &[],
            Self::List(items) => items,
            other => core::slice::from_ref(other),
        }
    }

    /// The field of this name, without regard to case; null if there is none.
    pub(crate) fn at(&self, name: &str) -> &Self {
        self.as_object().and_then(|fields| field(fields, name)).unwrap_or(&NULL)
    }

    /// The field of this name, in `properties` or beside it: ARM wraps fields, `az` does not.
    pub(crate) fn get(&self, name: &str) -> &Self {
        match self.at("properties").at(name) {
            Self::Null => match self {
                Self::Unknown(_) => self,
                _ if self.at("properties").is_unknown() => {
                    let beside = self.at(name);
                    if beside.is_null() { self.at("properties") } else { beside }
                }
                _ => self.at(name),
            },
            inner => inner,
        }
    }

    /// The first of these fields that is there.
    pub(crate) fn first(&self, names: &[&str]) -> &Self {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_null()).unwrap_or(&NULL)
    }

    /// What kind of value it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Unknown(_) => "an unknown value",
        }
    }
}

/// The field of this name, without regard to case.
pub(crate) fn field<'a>(fields: &'a Object, name: &str) -> Option<&'a Value> {
    fields.get(name).or_else(|| {
        let same = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(name);
        fields.iter().find(same).map(|(_, value)| value)
    })
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
            other => f.write_str(other.kind()),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    #[allow(clippy::cast_precision_loss, reason = "numbers of this size are no addresses")]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some((name, value)) = fields.next_entry::<String, Value>()? {
            object.insert(name, value);
        }
        Ok(Value::object(object))
    }
}
