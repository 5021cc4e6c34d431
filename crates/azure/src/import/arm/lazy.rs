//! Functions whose arguments are reckoned only as far as needed, and lambdas.

use std::rc::Rc;

use super::super::ImportProblem;
use super::super::value::{Object, Value};
use super::evaluate::{Evaluator, unknown};
use super::expression::Expression;
use super::frame::{Frame, Local, scope};
use super::values;

type Lazy = Result<Option<Value>, ImportProblem>;

impl Evaluator {
    /// Calls a function that looks at its arguments itself; none if it is not one of these.
    pub(super) fn lazy(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        name: &str,
        list: &[Expression],
    ) -> Lazy {
        let argument = |place: usize| match list.get(place) {
            Some(tree) => self.expression(frame, local, tree),
            None => Ok(Value::Null),
        };
        let value = match name {
            "if" => match argument(0)? {
                Value::Unknown(why) => Value::Unknown(why),
                condition => match condition.as_bool() {
                    Some(true) => argument(1)?,
                    Some(false) => argument(2)?,
                    None => unknown(format!("the condition is {condition}")),
                },
            },
            "and" | "or" => return self.all(frame, local, name == "and", list).map(Some),
            "coalesce" => {
                let mut found = Value::Null;
                for tree in list {
                    found = self.expression(frame, local, tree)?;
                    if !found.is_null() {
                        break;
                    }
                }
                found
            }
            "tryget" => {
                let mut value = argument(0)?;
                for place in 1..list.len() {
                    let key = argument(place)?;
                    value = match (&value, &key) {
                        (Value::Unknown(_), _) => value,
                        (_, Value::Unknown(_)) => key,
                        (_, Value::Text(name)) => value.at(name).clone(),
                        (_, Value::Int(at)) => usize::try_from(*at)
                            .ok()
                            .and_then(|at| value.as_list()?.get(at).cloned())
                            .unwrap_or_default(),
                        _ => Value::Null,
                    };
                }
                value
            }
            "copyindex" => return self.copy_index(frame, local, list).map(Some),
            "parameters" | "variables" => {
                let wanted = argument(0)?;
                match wanted.as_text() {
                    Some(wanted) if name == "parameters" => self.parameter(frame, local, wanted)?,
                    Some(wanted) => self.variable(frame, wanted)?,
                    None => unknown(format!("{name} of no name")),
                }
            }
            "lambdavariables" => {
                let wanted = argument(0)?;
                let wanted = wanted.as_text().unwrap_or_default();
                let mut held = local.lambda.iter().rev();
                held.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or_else(
                    || unknown(format!("no lambda has {wanted}")),
                    |(_, value)| value.clone(),
                )
            }
            "map" | "filter" | "reduce" | "sort" | "toobject" | "groupby" | "mapvalues" => {
                return self.over(frame, local, name, list).map(Some);
            }
            "lambda" => unknown("a lambda where a value is expected"),
            "fail" => unknown("the template stops the deployment here"),
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// `and`, `or`: one known side may decide whatever the others are.
    fn all(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        all: bool,
        list: &[Expression],
    ) -> Result<Value, ImportProblem> {
        let mut open = None;
        for tree in list {
            let value = self.expression(frame, local, tree)?;
            match value.as_bool() {
                Some(truth) if truth != all => return Ok(Value::Bool(!all)),
                Some(_) => {}
                None if value.is_unknown() => open = open.or(Some(value)),
                None => return Ok(unknown(format!("{value} is no truth value"))),
            }
        }
        Ok(open.unwrap_or(Value::Bool(all)))
    }

    fn copy_index(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        list: &[Expression],
    ) -> Result<Value, ImportProblem> {
        let mut name = String::new();
        let mut offset = 0;
        for tree in list {
            match self.expression(frame, local, tree)? {
                Value::Text(text) => name = text.to_string(),
                Value::Int(number) => offset = number,
                other => return Ok(unknown(format!("copyIndex of {other}"))),
            }
        }
        let turn = if name.is_empty() {
            local.turn("").or_else(|| local.turns.last().map(|(_, turn)| *turn))
        } else {
            local.turn(&name)
        };
        let found = turn.and_then(|turn| turn.checked_add(offset)).map(Value::Int);
        Ok(found.unwrap_or_else(|| unknown("copyIndex outside its loop")))
    }

    /// Functions that call a lambda for each item of a list or field of an object.
    fn over(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        name: &str,
        list: &[Expression],
    ) -> Result<Value, ImportProblem> {
        let Some(first) = list.first() else { return Ok(unknown(format!("{name} of nothing"))) };
        let value = self.expression(frame, local, first)?;
        if value.is_unknown() {
            return Ok(value);
        }
        let lambda = |place: usize, arguments: &[&Value]| match list.get(place) {
            Some(Expression::Call(name, parts)) if name == "lambda" => {
                self.lambda(frame, local, parts, arguments)
            }
            _ => Ok(unknown(format!("{name} without a lambda"))),
        };
        if name == "mapvalues" {
            let mut fields = Object::new();
            for (key, field) in value.as_object().into_iter().flatten() {
                fields.insert(key.clone(), lambda(1, &[field])?);
            }
            return Ok(Value::object(fields));
        }
        let items = value.items();
        let mut made = Vec::new();
        let mut fields = Object::new();
        let mut sum = match list.get(1) {
            Some(tree) if name == "reduce" => self.expression(frame, local, tree)?,
            _ => Value::Null,
        };
        for (place, item) in items.iter().enumerate() {
            self.step(0)?;
            let place = Value::Int(i64::try_from(place).unwrap_or(0));
            match name {
                "map" => made.push(lambda(1, &[item, &place])?),
                "filter" => match lambda(1, &[item, &place])? {
                    Value::Bool(true) => made.push(item.clone()),
                    Value::Unknown(why) => made.push(Value::Unknown(why)),
                    _ => {}
                },
                "reduce" => sum = lambda(2, &[&sum, item, &place])?,
                "toobject" => {
                    let key = lambda(1, &[item])?;
                    let field = if list.len() > 2 { lambda(2, &[item])? } else { item.clone() };
                    match key {
                        Value::Unknown(why) => return Ok(Value::Unknown(why)),
                        key => _ = fields.insert(values::string(&key), field),
                    }
                }
                "groupby" => {
                    let key = values::string(&lambda(1, &[item])?);
                    let mut group =
                        fields.get(&key).map(|group| group.items().to_vec()).unwrap_or_default();
                    self.step(group.len())?;
                    group.push(item.clone());
                    fields.insert(key, Value::list(group));
                }
                _ => {
                    // A stable order by insertion: lists in templates are short.
                    let mut at = made.len();
                    while let Some(before) = at.checked_sub(1).and_then(|at| made.get(at)) {
                        if lambda(1, &[item, before])? != Value::Bool(true) {
                            break;
                        }
                        at -= 1;
                    }
                    made.insert(at, item.clone());
                }
            }
        }
        Ok(match name {
            "reduce" => sum,
            "toobject" | "groupby" => Value::object(fields),
            _ => Value::list(made),
        })
    }

    /// Calls `lambda('a', 'b', body)`.
    fn lambda(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        parts: &[Expression],
        arguments: &[&Value],
    ) -> Result<Value, ImportProblem> {
        let Some((body, names)) = parts.split_last() else {
            return Ok(unknown("a lambda without a body"));
        };
        let mut inner = local.clone();
        for (name, value) in names.iter().zip(arguments) {
            if let Expression::Text(name) = name {
                inner.lambda.push((name.to_string(), (*value).clone()));
            }
        }
        self.expression(frame, &inner, body)
    }

    /// The value of a parameter.
    fn parameter(
        &self,
        frame: &Rc<Frame>,
        local: &Local,
        name: &str,
    ) -> Result<Value, ImportProblem> {
        let key = name.to_ascii_lowercase();
        if let Some(arguments) = &local.function {
            let value = arguments.get(&key).cloned();
            return Ok(value.unwrap_or_else(|| unknown(format!("the function has no {name}"))));
        }
        let scope = scope(frame);
        self.once(&scope.parameters, &key, || {
            let declared = scope.template.at("parameters").at(name);
            // A null that is given counts as not given where there is a default.
            let defaults = !declared.at("defaultValue").is_null();
            if let Some(value) = scope.given.get(&key).filter(|value| !value.is_null() || !defaults)
            {
                return Ok(value.clone());
            }
            if declared.is_null() {
                return Ok(unknown(format!("the template has no parameter {name}")));
            }
            let default = declared.as_object().and_then(|fields| fields.get("defaultValue"));
            if let Some(default) = default {
                let path = scope.at(&format!("parameters.{name}.defaultValue"));
                return self.value(scope, &Local::default(), default, &path);
            }
            if declared.at("nullable").as_bool() == Some(true) {
                return Ok(Value::Null);
            }
            self.missing.borrow_mut().insert(key.clone());
            let kind = self.type_of(scope, declared);
            Ok(match kind.as_str() {
                "string" | "securestring" => Value::text(format!("<{name}>")),
                _ => unknown(format!("the parameter {name} has no value")),
            })
        })
    }

    /// The type of a parameter, through the definitions of the template.
    fn type_of(&self, scope: &Rc<Frame>, declared: &Value) -> String {
        let mut declared = declared;
        for _ in 0..16 {
            let Some(name) = declared.at("$ref").as_text() else { break };
            let name = name.rsplit('/').next().unwrap_or_default();
            declared = scope.template.at("definitions").at(name);
        }
        declared.at("type").as_text().unwrap_or_default().to_ascii_lowercase()
    }

    fn variable(&self, frame: &Rc<Frame>, name: &str) -> Result<Value, ImportProblem> {
        let scope = scope(frame);
        let key = name.to_ascii_lowercase();
        self.once(&scope.variables, &key, || {
            let variables = scope.template.at("variables");
            let path = scope.at(&format!("variables.{name}"));
            for (place, copy) in variables.at("copy").items().iter().enumerate() {
                if copy.at("name").as_text().is_some_and(|own| own.eq_ignore_ascii_case(name)) {
                    let path = scope.at(&format!("variables.copy[{place}]"));
                    return self.copy(scope, &Local::default(), name, copy, &path);
                }
            }
            let found = variables.as_object().and_then(|all| super::super::value::field(all, name));
            match found {
                Some(value) => self.value(scope, &Local::default(), value, &path),
                None => Ok(unknown(format!("the template has no variable {name}"))),
            }
        })
    }
}
