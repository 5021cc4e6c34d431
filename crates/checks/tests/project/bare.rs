//! Finds invariants that are still cited by a number, as the project once did.

use regex::Regex;

use crate::files::all;

/// Numbers that invariants had. Statements have a hyphen and two digits, as `R-07`.
const OLD: &str =
    r"(?:^|[\s(,;])((?:P|W|N|R)(?:[1-9]|1[0-4])|E(?:[1-9]|1[0-2])|[FLAICOTD][1-9])(?:[),.;:\s]|$)";

#[test]
fn invariants_have_no_numbers() {
    let old = Regex::new(OLD).unwrap();
    let mut wrong = Vec::new();
    for file in all() {
        let patch = file.is("patch");
        for (at, line) in file.text.lines().enumerate() {
            let said = if patch && at == 0 {
                line
            } else if file.is("rs") {
                line.split_once("//").map_or("", |(_, comment)| comment)
            } else {
                ""
            };
            for found in old.captures_iter(said) {
                let number = &found[1];
                wrong.push(format!("{}:{}: {number} has a name now", file.path, at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn old_numbers_are_recognised() {
    let old = Regex::new(OLD).unwrap();
    let found = |text: &str| -> Vec<String> {
        old.captures_iter(text).map(|found| found[1].to_owned()).collect()
    };
    assert_eq!(found(" R7, N10: (O3). W-01 R-07"), ["R7", "N10", "O3"]);
    assert!(found("`L2`, {1:D2}, VM1, L2/L3, Ipv4, T-01").is_empty());
}
