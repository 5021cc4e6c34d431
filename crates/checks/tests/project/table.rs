//! Tables in files: a line of names, then a line for each row, in columns divided by tabs.

use crate::files::read;

/// A row and where it stands, as `file:line`.
pub(crate) struct Row {
    pub place: String,
    pub cells: Vec<String>,
}

impl Row {
    pub(crate) fn get(&self, column: usize) -> &str {
        &self.cells[column]
    }
}

/// Reads a table below the root, whose columns have these names.
pub(crate) fn table(path: &str, columns: &[&str]) -> Vec<Row> {
    parse(path, &read(path), columns).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads a table from its text.
pub(crate) fn parse(path: &str, text: &str, columns: &[&str]) -> Result<Vec<Row>, String> {
    let mut lines = text.lines().enumerate();
    let names: Vec<_> = lines.next().map_or("", |(_, line)| line).split('\t').collect();
    if names != columns {
        return Err(format!("{path}:1: the columns are {names:?}, expected {columns:?}"));
    }
    let mut rows = Vec::new();
    for (at, line) in lines {
        let place = format!("{path}:{}", at + 1);
        let cells: Vec<_> = line.split('\t').map(str::to_owned).collect();
        if cells.len() != columns.len() {
            let (found, expected) = (cells.len(), columns.len());
            return Err(format!("{place}: {found} columns, expected {expected}"));
        }
        rows.push(Row { place, cells });
    }
    Ok(rows)
}

#[test]
fn wrong_rows_are_named() {
    let columns = ["a", "b"];
    let read = |text| parse("t.tsv", text, &columns).map(|rows| rows.len());
    assert_eq!(read("a\tb\n1\t\n2\t3\n"), Ok(2));
    let wrong = Err("t.tsv:2: 1 columns, expected 2".to_owned());
    assert_eq!(read("a\tb\nonly\n"), wrong);
    assert!(read("b\ta\n").is_err());
    assert!(read("").is_err());
}
