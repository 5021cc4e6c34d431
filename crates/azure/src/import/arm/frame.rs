//! A template as it is deployed: its values, and what it deploys.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::value::{Object, Value};

/// A template with the values that it was given.
pub(super) struct Frame {
    pub(super) template: Value,
    /// The way to the template in the file.
    pub(super) path: String,
    /// The deployment's name.
    pub(super) name: String,
    /// What was given for its parameters, by name in small letters.
    pub(super) given: Object,
    pub(super) subscription: String,
    /// None outside a resource group.
    pub(super) group: Option<String>,
    /// The template around this one.
    pub(super) outer: Option<Rc<Frame>>,
    /// Whether expressions mean the parameters and variables of the template around it.
    pub(super) open: bool,
    pub(super) parameters: RefCell<BTreeMap<String, Memo>>,
    pub(super) variables: RefCell<BTreeMap<String, Memo>>,
    pub(super) instances: RefCell<Option<Rc<Vec<Instance>>>>,
    /// Whether the instances are being found out.
    pub(super) listing: RefCell<bool>,
    pub(super) children: RefCell<BTreeMap<usize, Option<Rc<Frame>>>>,
    pub(super) outputs: RefCell<Option<Memo>>,
    pub(super) properties: RefCell<BTreeMap<usize, Memo>>,
}

/// A value that is reckoned once.
#[derive(Clone)]
pub(super) enum Memo {
    /// It is being reckoned: whoever asks for it now hangs on itself.
    Busy,
    Done(Value),
}

/// A resource of a template, one for each turn of its loop.
pub(super) struct Instance {
    /// The name by which the template's own expressions know it.
    pub(super) symbol: Option<String>,
    /// The type as written, without slashes at its ends.
    pub(super) kind: String,
    pub(super) name: Value,
    pub(super) id: String,
    pub(super) raw: Value,
    pub(super) local: Local,
    pub(super) path: String,
    /// Whether it is there already and no part of the deployment.
    pub(super) existing: bool,
    /// Whether it is deployed; unknown if its condition is.
    pub(super) condition: Value,
}

/// What an expression sees beside the frame: turns of loops, variables of lambdas.
#[derive(Clone, Default)]
pub(super) struct Local {
    /// Loops around, the innermost last: name in small letters and turn. An empty name is the loop
    /// of the resource.
    pub(super) turns: Vec<(String, i64)>,
    pub(super) lambda: Vec<(String, Value)>,
    /// Arguments of a function of the template's own; nothing else is seen in one.
    pub(super) function: Option<Rc<Object>>,
}

impl Frame {
    pub(super) fn new(template: Value, name: &str, path: &str) -> Self {
        Self {
            template,
            path: path.to_owned(),
            name: name.to_owned(),
            given: Object::new(),
            subscription: String::new(),
            group: None,
            outer: None,
            open: false,
            parameters: RefCell::default(),
            variables: RefCell::default(),
            instances: RefCell::default(),
            listing: RefCell::default(),
            children: RefCell::default(),
            outputs: RefCell::default(),
            properties: RefCell::default(),
        }
    }

    /// The way to a part of the template.
    pub(super) fn at(&self, part: &str) -> String {
        if self.path.is_empty() { part.to_owned() } else { format!("{}.{part}", self.path) }
    }

    /// The id of the place where it is deployed.
    pub(super) fn place(&self) -> String {
        match &self.group {
            Some(group) => format!("/subscriptions/{}/resourceGroups/{group}", self.subscription),
            None => format!("/subscriptions/{}", self.subscription),
        }
    }
}

/// The frame whose parameters and variables expressions mean.
pub(super) fn scope(frame: &Rc<Frame>) -> &Rc<Frame> {
    match &frame.outer {
        Some(outer) if frame.open => scope(outer),
        _ => frame,
    }
}

impl Local {
    pub(super) fn turn(&self, name: &str) -> Option<i64> {
        let name = name.to_ascii_lowercase();
        let mut turns = self.turns.iter().rev();
        turns.find(|(loop_name, _)| *loop_name == name).map(|(_, turn)| *turn)
    }

    /// The same inside a loop of this name.
    pub(super) fn within(&self, name: &str, turn: i64) -> Self {
        let mut local = self.clone();
        local.turns.push((name.to_ascii_lowercase(), turn));
        local
    }
}
