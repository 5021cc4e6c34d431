//! Reads the words of one line, one by one. Every error says what was found and what was expected.

use core::str::FromStr;
use core::time::Duration;

use super::error::Problem;

/// The words of one line that were not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    /// Returns the next word, or nothing at the end of the line.
    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.rest.split_whitespace().next()
    }

    /// Takes the rest of the line.
    pub(crate) fn rest(&mut self) -> &'a str {
        core::mem::take(&mut self.rest)
    }

    pub(crate) fn take(&mut self, expected: &str) -> Result<&'a str, Problem> {
        let word = self.peek().ok_or_else(|| self.wrong(expected))?;
        self.rest = self.rest.get(word.len()..).unwrap_or_default().trim_start();
        Ok(word)
    }

    /// Takes the next word if it equals this one.
    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.rest = self.rest.get(word.len()..).unwrap_or_default().trim_start();
        }
        found
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), Problem> {
        if self.accept(word) { Ok(()) } else { Err(self.wrong(&format!("\"{word}\""))) }
    }

    pub(crate) fn parse<T: FromStr>(&mut self, expected: &str) -> Result<T, Problem> {
        let parsed = self.peek().and_then(|word| word.parse().ok());
        let value = parsed.ok_or_else(|| self.wrong(expected))?;
        self.take(expected)?;
        Ok(value)
    }

    /// Takes one word that holds values with commas between them.
    pub(crate) fn list<T: FromStr>(&mut self, expected: &str) -> Result<Vec<T>, Problem> {
        let parsed =
            self.peek().and_then(|word| word.split(',').map(|part| part.parse().ok()).collect());
        let values = parsed.ok_or_else(|| self.wrong(expected))?;
        self.take(expected)?;
        Ok(values)
    }

    /// Takes a region in one word, or in the several that Azure writes: `West Europe`.
    pub(crate) fn region(&mut self) -> Result<String, Problem> {
        let mut region = self.take("a region")?.to_owned();
        let (mut text, mut ahead) = (region.clone(), self.clone());
        while let Some(word) = ahead.peek().filter(|_| text.len() < 32) {
            ahead.take("a word")?;
            text = format!("{text} {word}");
            if vnetem_azure::known_region(&text).is_some() {
                region.clone_from(&text);
                *self = ahead.clone();
            }
        }
        Ok(region)
    }

    /// Takes regions with commas between them, up to the end of the edit.
    pub(crate) fn regions(&mut self) -> Result<Vec<String>, Problem> {
        let mut text = self.take("regions with commas between them")?.to_owned();
        while let Some(word) = self.peek().filter(|word| *word != ";") {
            self.take("a region")?;
            text = format!("{text} {word}");
        }
        Ok(text.split(',').map(|region| region.trim().to_owned()).collect())
    }

    /// Takes a length of time such as `5ms`.
    pub(crate) fn duration(&mut self) -> Result<Duration, Problem> {
        const EXPECTED: &str = "a time such as 10ms, 5s or 4min";
        let parsed = self.peek().and_then(parse_duration);
        let value = parsed.ok_or_else(|| self.wrong(EXPECTED))?;
        self.take(EXPECTED)?;
        Ok(value)
    }

    /// Checks that the line ends here.
    pub(crate) fn end(&self) -> Result<(), Problem> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("the end of the line")) }
    }

    /// Makes the error that the next word is not what was expected.
    pub(crate) fn wrong(&self, expected: &str) -> Problem {
        let found =
            self.peek().map_or_else(|| "the end of the line".into(), |word| format!("\"{word}\""));
        Problem::Expected { found, expected: expected.to_owned() }
    }
}

/// Reads `250us`, `10ms`, `5s`, `4min`, or a plain 0.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_number_and_unit() {
        let read = |text| parse_duration(text).map(|duration| duration.as_micros());
        assert_eq!(read("250us"), Some(250));
        assert_eq!(read("10ms"), Some(10_000));
        assert_eq!(read("4min"), Some(240_000_000));
        assert_eq!(read("0"), Some(0));
        for wrong in ["", "10", "ms", "1.5s", "-1s", "18446744073709551615min", "10 ms"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_names_the_wrong_word() {
        let mut words = Words::new("  vnet   alpha ");
        assert!(words.accept("vnet"));
        assert_eq!(words.take("a name"), Ok("alpha"));
        let expected = "a prefix".to_owned();
        let found = "the end of the line".to_owned();
        assert_eq!(words.take("a prefix"), Err(Problem::Expected { found, expected }));
        let wrong = Words::new("10.0.0.300 x").parse::<core::net::Ipv4Addr>("an address");
        let found = "\"10.0.0.300\"".to_owned();
        assert_eq!(wrong, Err(Problem::Expected { found, expected: "an address".into() }));
    }
}
