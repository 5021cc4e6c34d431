//! Numbers of statements, as texts and names of tests cite them.

use std::fmt;

/// Kinds of statements, in the order of docs/requirements.md, and the title of their chapter.
pub(crate) const KINDS: [(char, &str); 11] = [
    ('S', "Service endpoints: identity, source, routing, denial"),
    ('E', "Endpoint objects and their scope"),
    ('R', "Routes and how one is chosen"),
    ('N', "Outbound source NAT of Azure"),
    ('F', "Firewalls of services"),
    ('P', "Policies, security groups, pipeline and flows"),
    ('W', "The identity on the wire"),
    ('L', "Private endpoints, for contrast"),
    ('T', "The translator"),
    ('C', "Contradictions between sources, and the choice taken"),
    ('U', "What no source says, and what vnetem does"),
];

/// A statement, written `S-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number {
    pub kind: char,
    pub at: u8,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.kind, self.at)
    }
}

/// Finds the statements that a text cites, each once; `F-01 to F-04` are four.
pub(crate) fn cited(text: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let (mut last, mut range): (Option<Number>, Option<Number>) = (None, None);
    for word in words.filter(|word| !word.is_empty()) {
        let number = number(word);
        let first = match (range.take(), number) {
            (Some(from), Some(to)) if from.kind == to.kind => {
                (from.at..=to.at).map(|at| Number { kind: to.kind, at }).collect()
            }
            (_, number) => Vec::from_iter(number),
        };
        for number in first {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        range = if word == "to" { last } else { None };
        last = number;
    }
    numbers
}

/// Reads one word as a statement.
pub(crate) fn number(word: &str) -> Option<Number> {
    let (kind, digits) = word.split_once('-')?;
    let kind = kind.parse().ok().filter(|kind| KINDS.iter().any(|(known, _)| known == kind))?;
    let at = (digits.len() == 2).then(|| digits.parse().ok()).flatten()?;
    Some(Number { kind, at })
}

/// Writes `r_09_a_route` as `R-09 A ROUTE`, so that one reader serves names and comments.
pub(crate) fn spelled_out(name: &str) -> String {
    let mut text = String::new();
    let mut words = name.split('_').peekable();
    while let Some(word) = words.next() {
        text.push_str(&word.to_uppercase());
        let number =
            words.peek().is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_digit()));
        text.push(if word.len() == 1 && number { '-' } else { ' ' });
    }
    text
}

/// Finds the invariants that a text cites.
pub(crate) fn invariants(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.map(|word| word.trim_end_matches('-')).filter(|word| word.starts_with("INV-")).collect()
}

#[test]
fn numbers_stand_in_names_and_texts() {
    let found =
        |text: &str| cited(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(found("/// S-17, (R-09). N-18: U-17"), "S-17 R-09 N-18 U-17");
    assert_eq!(found("W-13 to W-15, and F-01 to 04"), "W-13 W-14 W-15 F-01");
    assert_eq!(found("UTF-80, S-1, S-170, xS-17, Z-22"), "");
    assert_eq!(found(&spelled_out("r_09_a_route_beats_s_17_and_n_1")), "R-09 S-17");
    assert_eq!(invariants("/// INV-one-two: (INV-three), inv-x"), ["INV-one-two", "INV-three"]);
}
