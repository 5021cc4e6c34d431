//! Reckons the values of a template.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use super::super::ImportProblem;
use super::super::value::{Object, Unknown, Value, field};
use super::expression::{Expression, Written, parse, written};
use super::frame::{Frame, Local, Memo, scope};
use super::{lists, values};

/// Steps that a file may take. A template of 150 kB takes some thousands.
const MAX_STEPS: u64 = 2_000_000;

/// How deep values may hang on values.
const MAX_DEPTH: usize = 64;

/// Turns that a loop may take; the platform allows 800.
pub(super) const MAX_TURNS: i64 = 2_000;

/// Reckons values, with a count of steps so that no file takes for ever.
pub(super) struct Evaluator {
    steps: Cell<u64>,
    depth: Cell<usize>,
    /// Parameters without a value, in small letters; `<name>` stands for one that is text.
    pub(super) missing: RefCell<BTreeSet<String>>,
    /// Functions that were stood in for.
    pub(super) stand_ins: RefCell<BTreeSet<&'static str>>,
    pub(super) location: String,
}

pub(super) type Reckoned = Result<Value, ImportProblem>;

/// A value that is not known yet where; the place is filled in where the expression stands.
pub(super) fn unknown(why: impl Into<String>) -> Value {
    Value::unknown("", why)
}

impl Evaluator {
    pub(super) fn new(location: String) -> Self {
        Self {
            steps: Cell::new(0),
            depth: Cell::new(0),
            missing: RefCell::default(),
            stand_ins: RefCell::default(),
            location,
        }
    }

    /// Counts a step.
    pub(super) fn step(&self, size: usize) -> Result<(), ImportProblem> {
        let steps = self.steps.get() + 1 + u64::try_from(size).unwrap_or(u64::MAX / 2);
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return Err(ImportProblem::TooLarge {
                path: String::new(),
                what: format!("the template takes more than {MAX_STEPS} steps to evaluate"),
            });
        }
        Ok(())
    }

    /// Goes one level deeper; none if that is too deep.
    fn deeper<T>(
        &self,
        inner: impl FnOnce() -> Result<T, ImportProblem>,
    ) -> Result<Option<T>, ImportProblem> {
        if self.depth.get() >= MAX_DEPTH {
            return Ok(None);
        }
        self.depth.set(self.depth.get() + 1);
        let result = inner();
        self.depth.set(self.depth.get() - 1);
        result.map(Some)
    }

    /// Reckons everything in a part of a template.
    pub(super) fn value(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        part: &Value,
        path: &str,
    ) -> Reckoned {
        self.step(0)?;
        match part {
            Value::Text(text) => match written(text) {
                Written::Literal(text) => Ok(Value::text(text)),
                Written::Expression(text) => self.written(frame, local, text, path),
            },
            Value::List(items) => {
                let mut list = Vec::with_capacity(items.len().min(1_024));
                for (place, item) in items.iter().enumerate() {
                    list.push(self.value(frame, local, item, &format!("{path}[{place}]"))?);
                }
                Ok(Value::list(list))
            }
            Value::Object(fields) => self.object(frame, local, fields, path),
            other => Ok(other.clone()),
        }
    }

    fn written(&self, frame: &Rc<Frame>, local: &Local, text: &str, path: &str) -> Reckoned {
        self.step(text.len() / 16)?;
        let value = match parse(text) {
            Ok(expression) => self.expression(frame, local, &expression)?,
            Err(what) => unknown(format!("no expression: {what}")),
        };
        let Value::Unknown(inner) = &value else { return Ok(value) };
        let why = if inner.path.is_empty() {
            let short: String = text.chars().take(160).collect();
            format!("{}: [{short}]", inner.why)
        } else {
            inner.why.clone()
        };
        Ok(Value::unknown(path, why))
    }

    fn object(&self, frame: &Rc<Frame>, local: &Local, fields: &Object, path: &str) -> Reckoned {
        let mut object = Object::new();
        for (name, item) in fields {
            let inner = format!("{path}.{name}");
            if name.eq_ignore_ascii_case("copy") && is_copy(item) {
                self.copies(frame, local, item, &inner, &mut object)?;
                continue;
            }
            let key = match written(name) {
                Written::Expression(text) => match self.written(frame, local, text, &inner)? {
                    Value::Text(key) => key.to_string(),
                    _ => name.clone(),
                },
                Written::Literal(key) => key.to_owned(),
            };
            object.insert(key, self.value(frame, local, item, &inner)?);
        }
        Ok(Value::object(object))
    }

    /// Reckons the lists that `copy` makes inside an object.
    pub(super) fn copies(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        copies: &Value,
        path: &str,
        object: &mut Object,
    ) -> Result<(), ImportProblem> {
        for (place, copy) in copies.items().iter().enumerate() {
            let path = format!("{path}[{place}]");
            let Some(name) = copy.at("name").as_text() else { continue };
            let list = self.copy(frame, local, name, copy, &path)?;
            object.insert(name.to_owned(), list);
        }
        Ok(())
    }

    /// Reckons one loop: its input, as often as it turns.
    pub(super) fn copy(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        name: &str,
        copy: &Value,
        path: &str,
    ) -> Reckoned {
        let count = self.count(frame, local, copy, path)?;
        let Value::Int(count) = count else { return Ok(count) };
        let mut list = Vec::new();
        for turn in 0..count {
            let local = local.within(name, turn);
            let input = format!("{path}.input");
            list.push(self.value(frame, &local, copy.at("input"), &input)?);
        }
        Ok(Value::list(list))
    }

    /// How often a loop turns.
    pub(super) fn count(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        copy: &Value,
        path: &str,
    ) -> Reckoned {
        let path = format!("{path}.count");
        let count = self.value(frame, local, copy.at("count"), &path)?;
        match count.as_int() {
            Some(turns) if turns > MAX_TURNS => Err(ImportProblem::TooLarge {
                path,
                what: format!("{turns} turns of a loop; {MAX_TURNS} are taken"),
            }),
            Some(turns) => Ok(Value::Int(turns.max(0))),
            None if count.is_unknown() => Ok(count),
            None => Ok(Value::unknown(path, format!("{count} is no number of turns"))),
        }
    }

    /// Reckons an expression.
    pub(super) fn expression(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        tree: &Expression,
    ) -> Reckoned {
        self.step(0)?;
        let deep = self.deeper(|| match tree {
            Expression::Text(text) => Ok(Value::Text(text.clone())),
            Expression::Int(number) => Ok(Value::Int(*number)),
            Expression::Float(number) => Ok(Value::Float(*number)),
            Expression::Call(name, arguments) => self.call(frame, local, name, arguments),
            Expression::Access { of, key, safe } => {
                let value = self.expression(frame, local, of)?;
                let key = self.expression(frame, local, key)?;
                Ok(access(&value, &key, *safe, of))
            }
        })?;
        Ok(deep
            .unwrap_or_else(|| unknown(format!("values hang on values deeper than {MAX_DEPTH}"))))
    }

    fn call(&self, frame: &Rc<Frame>, local: &Local, name: &str, list: &[Expression]) -> Reckoned {
        if let Some(value) = self.lazy(frame, local, name, list)? {
            return Ok(value);
        }
        let mut arguments = Vec::with_capacity(list.len());
        for tree in list {
            arguments.push(self.expression(frame, local, tree)?);
        }
        if let Some(value) = self.own_function(frame, name, &arguments)? {
            return Ok(value);
        }
        let lenient = ["createobject", "createarray", "array", "union", "shallowmerge", "flatten"];
        let first = arguments.iter().find(|value| value.is_unknown());
        if let Some(first) = first.filter(|_| !lenient.contains(&name)) {
            let concat = name == "concat" && matches!(arguments.first(), Some(Value::List(_)));
            if !concat {
                return Ok(first.clone());
            }
        }
        if let Some(value) = self.symbolic(name, &arguments) {
            return Ok(value);
        }
        if let Some(value) = self.ambient(frame, name, &arguments)? {
            return Ok(value);
        }
        match name {
            "uniquestring" => _ = self.stand_ins.borrow_mut().insert("uniqueString"),
            "guid" => _ = self.stand_ins.borrow_mut().insert("guid"),
            "newguid" => _ = self.stand_ins.borrow_mut().insert("newGuid"),
            "utcnow" => _ = self.stand_ins.borrow_mut().insert("utcNow"),
            _ => {}
        }
        let called = values::call(name, &arguments).filter(|_| name != "concat");
        let result = match called.or_else(|| lists::call(name, &arguments)) {
            Some(result) => result,
            None if is_of_run_time(name) => return Ok(unknown("known only at run time")),
            None => return Ok(unknown(format!("the function {name} is not evaluated"))),
        };
        match result {
            Ok(value) => {
                self.step(size(&value))?;
                if let (Value::Text(_), Some(hole)) =
                    (&value, arguments.iter().find_map(|argument| hole(argument, 0)))
                {
                    return Ok(Value::Unknown(hole.clone()));
                }
                Ok(value)
            }
            Err(what) => Ok(unknown(what)),
        }
    }

    /// Calls a function that the template itself defines.
    fn own_function(
        &self,
        frame: &Rc<Frame>,
        name: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, ImportProblem> {
        let Some((space, member)) = name.split_once('.') else { return Ok(None) };
        let scope = scope(frame);
        let spaces = scope.template.at("functions").items();
        let found = spaces.iter().find(|one| {
            one.at("namespace").as_text().is_some_and(|name| name.eq_ignore_ascii_case(space))
        });
        let Some(function) = found.map(|space| space.at("members").at(member)) else {
            return Ok(Some(unknown(format!("the template has no function {name}"))));
        };
        let mut given = Object::new();
        for (parameter, value) in function.at("parameters").items().iter().zip(arguments) {
            let name = parameter.at("name").as_text().unwrap_or_default();
            given.insert(name.to_ascii_lowercase(), value.clone());
        }
        let local = Local { function: Some(given.into()), ..Local::default() };
        let output = function.at("output").at("value").clone();
        let path = scope.at(&format!("functions.{name}"));
        let value = self.deeper(|| self.value(scope, &local, &output, &path))?;
        Ok(Some(value.unwrap_or_else(|| unknown(format!("{name} calls itself without end")))))
    }

    /// Reckons a value once; a value that hangs on itself is unknown.
    pub(super) fn once(
        &self,
        memos: &RefCell<std::collections::BTreeMap<String, Memo>>,
        name: &str,
        reckon: impl FnOnce() -> Reckoned,
    ) -> Reckoned {
        let held = memos.borrow().get(name).cloned();
        match held {
            Some(Memo::Done(value)) => Ok(value),
            Some(Memo::Busy) => Ok(unknown(format!("{name} hangs on itself"))),
            None => {
                memos.borrow_mut().insert(name.to_owned(), Memo::Busy);
                let value = self.deeper(reckon)?;
                let value = value.unwrap_or_else(|| {
                    unknown(format!("values hang on values deeper than {MAX_DEPTH}"))
                });
                memos.borrow_mut().insert(name.to_owned(), Memo::Done(value.clone()));
                Ok(value)
            }
        }
    }
}

/// Whether a field named `copy` is a loop and no plain field.
fn is_copy(value: &Value) -> bool {
    value.as_list().is_some_and(|list| {
        !list.is_empty()
            && list.iter().all(|copy| !copy.at("name").is_null() && !copy.at("count").is_null())
    })
}

/// Takes a field or an item.
fn access(value: &Value, key: &Value, safe: bool, of: &Expression) -> Value {
    if value.is_unknown() {
        return value.clone();
    }
    if key.is_unknown() {
        return key.clone();
    }
    let found = match (value, key) {
        (Value::Object(fields), Value::Text(name)) => field(fields, name).cloned(),
        (Value::List(items), Value::Int(place)) => {
            usize::try_from(*place).ok().and_then(|place| items.get(place)).cloned()
        }
        (Value::List(items), Value::Text(name)) if name.eq_ignore_ascii_case("length") => {
            i64::try_from(items.len()).ok().map(Value::Int)
        }
        (Value::Null, _) if safe => Some(Value::Null),
        _ => None,
    };
    match found {
        Some(value) => value,
        None if of.is_of_reference() => unknown("known only at run time"),
        None if safe => Value::Null,
        None => {
            let key = values::string(key);
            unknown(format!("{} has no field or item {key}", value.kind()))
        }
    }
}

/// An unknown value somewhere inside.
fn hole(value: &Value, depth: usize) -> Option<&std::sync::Arc<Unknown>> {
    match value {
        Value::Unknown(unknown) => Some(unknown),
        Value::List(items) if depth < 20 => items.iter().find_map(|item| hole(item, depth + 1)),
        Value::Object(fields) if depth < 20 => {
            fields.values().find_map(|field| hole(field, depth + 1))
        }
        _ => None,
    }
}

/// What a value costs to make.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() / 16,
        Value::List(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    }
}

/// Whether a function asks the platform.
fn is_of_run_time(name: &str) -> bool {
    name.starts_with("list")
        || [
            "getsecret",
            "providers",
            "pickzones",
            "tologicalzone",
            "tologicalzones",
            "tophysicalzone",
            "tophysicalzones",
            "datetimeadd",
            "datetimefromepoch",
            "datetimetoepoch",
            "deployer",
            "externalinput",
        ]
        .contains(&name)
}
