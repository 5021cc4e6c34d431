//! The language of ARM's expressions, `[concat(parameters('name'), '-vnet')]`, as a tree.

use std::sync::Arc;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Text(Arc<str>),
    Int(i64),
    Float(f64),
    /// A function with its arguments; the name in small letters.
    Call(String, Vec<Expression>),
    /// A field or an item. A safe access, `.?name` or `[?0]`, gives null where there is none.
    Access {
        of: Box<Expression>,
        key: Box<Expression>,
        safe: bool,
    },
}

/// How deep an expression may be nested.
const MAX_DEPTH: usize = 100;

/// What a text in a template is.
pub(super) enum Written<'a> {
    /// Text as it stands; `[[` at its start means one bracket.
    Literal(&'a str),
    /// The inside of `[...]`.
    Expression(&'a str),
}

/// Tells an expression from a text that is meant as it stands.
pub(super) fn written(text: &str) -> Written<'_> {
    let Some(inner) = text.strip_prefix('[') else { return Written::Literal(text) };
    match inner.strip_suffix(']') {
        Some(_) if inner.starts_with('[') => Written::Literal(inner),
        Some(expression) => Written::Expression(expression),
        None => Written::Literal(text),
    }
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, at: 0 };
    let expression = parser.expression(0)?;
    parser.blanks();
    match parser.rest().chars().next() {
        None => Ok(expression),
        Some(found) => Err(parser.found(found, "the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let is = self.rest().starts_with(token);
        if is {
            self.at += token.len();
        }
        is
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            return Ok(());
        }
        match self.rest().chars().next() {
            Some(found) => Err(self.found(found, token)),
            None => Err(format!("the expression ends where {token} is expected")),
        }
    }

    fn found(&self, found: char, expected: &str) -> String {
        format!("column {}: {found} where {expected} is expected", self.at + 1)
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        let mut expression = self.operand(depth)?;
        // A chain of accesses is a nesting as well.
        let mut links = depth;
        loop {
            let (key, safe) = if self.take(".?") {
                (self.field()?, true)
            } else if self.take(".") {
                (self.field()?, false)
            } else if self.take("[?") {
                let key = self.expression(depth + 1)?;
                self.expect("]")?;
                (key, true)
            } else if self.take("[") {
                let key = self.expression(depth + 1)?;
                self.expect("]")?;
                (key, false)
            } else {
                return Ok(expression);
            };
            links += 1;
            if links > MAX_DEPTH {
                return Err(format!("nested deeper than {MAX_DEPTH}"));
            }
            expression = Expression::Access { of: Box::new(expression), key: Box::new(key), safe };
        }
    }

    fn field(&mut self) -> Result<Expression, String> {
        self.blanks();
        let name = self.word();
        if name.is_empty() {
            return Err(format!("column {}: the name of a field is expected", self.at + 1));
        }
        Ok(Expression::Text(Arc::from(name)))
    }

    fn word(&mut self) -> String {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '#');
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default().to_owned();
        self.at += end;
        word
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, String> {
        self.blanks();
        match self.rest().chars().next() {
            None => Err("an expression without an end".to_owned()),
            Some('\'') => self.quoted(),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '+' => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.call(depth),
            Some(found) => Err(self.found(found, "a value")),
        }
    }

    fn quoted(&mut self) -> Result<Expression, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find('\'') else {
                return Err("a quoted text without an end".to_owned());
            };
            text.push_str(rest.get(..end).unwrap_or_default());
            let doubled = rest.get(end + 1..).is_some_and(|rest| rest.starts_with('\''));
            self.at += end + 1;
            if !doubled {
                return Ok(Expression::Text(Arc::from(text)));
            }
            text.push('\'');
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<Expression, String> {
        let rest = self.rest();
        let signed = usize::from(rest.starts_with(['-', '+']));
        let digits = rest.get(signed..).unwrap_or_default();
        let length = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let number =
            rest.get(..signed + length).unwrap_or_default().trim_start_matches('+').to_owned();
        self.at += signed + length;
        match number.parse() {
            Ok(number) => Ok(Expression::Int(number)),
            Err(_) => {
                number.parse().map(Expression::Float).map_err(|_| format!("{number} is no number"))
            }
        }
    }

    fn call(&mut self, depth: usize) -> Result<Expression, String> {
        let mut name = self.word();
        // A function of the template's own: `namespace.name(...)`.
        while self.rest().starts_with('.') {
            self.at += 1;
            name = format!("{name}.{}", self.word());
        }
        let name = name.to_ascii_lowercase();
        if !self.take("(") {
            return match name.as_str() {
                "true" | "false" | "null" => Ok(Expression::Call(name, Vec::new())),
                _ => Err(format!("{name} is no function: a bracket is missing")),
            };
        }
        let mut arguments = Vec::new();
        if self.take(")") {
            return Ok(Expression::Call(name, arguments));
        }
        loop {
            arguments.push(self.expression(depth + 1)?);
            if self.take(")") {
                return Ok(Expression::Call(name, arguments));
            }
            self.expect(",")?;
        }
    }
}

impl Expression {
    /// Whether it reads the state of a resource, which only a running deployment has.
    pub(super) fn is_of_reference(&self) -> bool {
        match self {
            Self::Access { of, .. } => of.is_of_reference(),
            Self::Call(name, _) => name == "reference",
            _ => false,
        }
    }
}
