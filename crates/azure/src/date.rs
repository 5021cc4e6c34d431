//! The day of a list.

use core::fmt;
use core::str::FromStr;

use crate::Problem;

/// The day on which a list was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// Returns the day in a file's name as it is published, `ServiceTags_Public_20251028.json`.
    #[must_use]
    pub fn in_file_name(name: &str) -> Option<Self> {
        name.split(|c: char| !c.is_ascii_digit()).rev().find_map(|digits| {
            let (year, rest) = digits.split_at_checked(4)?;
            let (month, day) = rest.split_at_checked(2)?;
            Self::of_parts(year, month, day)
        })
    }

    fn of_parts(year: &str, month: &str, day: &str) -> Option<Self> {
        if (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return None;
        }
        let date =
            Self { year: year.parse().ok()?, month: month.parse().ok()?, day: day.parse().ok()? };
        ((1..=12).contains(&date.month) && (1..=31).contains(&date.day)).then_some(date)
    }
}

impl FromStr for Date {
    type Err = Problem;

    /// Reads `2025-10-28`.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().unwrap_or_default();
        Self::of_parts(part(), part(), part()).ok_or_else(|| Problem::Date(text.to_owned()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_found_in_file_names() {
        let found = |name| Date::in_file_name(name).map(|date| date.to_string());
        assert_eq!(found("ServiceTags_Public_20251028.json").as_deref(), Some("2025-10-28"));
        assert_eq!(
            found("lists/2024/ServiceTags_Public_20240108.json").as_deref(),
            Some("2024-01-08")
        );
        for name in
            ["tags.json", "ServiceTags_2025.json", "tags_20251328.json", "tags_202510281.json"]
        {
            assert_eq!(found(name), None);
        }
    }

    #[test]
    fn date_round_trips_and_rejects_others() {
        assert_eq!("2025-10-28".parse::<Date>().unwrap().to_string(), "2025-10-28");
        for text in
            ["", "2025-10", "2025-10-28-1", "25-10-28", "2025-00-28", "2025-10-32", "+025-10-28x"]
        {
            assert_eq!(text.parse::<Date>(), Err(Problem::Date(text.to_owned())));
        }
    }
}
