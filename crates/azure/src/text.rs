//! The text form: one prefix a line, so that two lists differ where their lines do.
//!
//! ```text
//! cloud Public
//! change 375
//! date 2025-10-28
//! tag Storage 54 - VSE
//! 13.73.8.16/28
//! tag Storage.FranceCentral 49 francecentral
//! 20.38.98.0/24
//! -20.60.13.0/24
//! ```
//!
//! A `tag` line has name, number of the last change, region and mark. What a sub-tag lists stands
//! in its parent as well and is not repeated there, except where a `-` says that the parent does
//! not list it. So the lists of endpoints are half as long.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use crate::service_tags::prefix;
use crate::{Place, Problem, ServiceTag, ServiceTags, TagsError};

impl ServiceTags {
    /// Reads the text form, which [`Display`](fmt::Display) writes. Lines that begin with `#` are
    /// comments.
    ///
    /// # Errors
    ///
    /// If the text is not in that form, with the line that is wrong.
    pub fn from_text(text: &str) -> Result<Self, TagsError> {
        let (mut cloud, mut change_number, mut date) = (None, None, None);
        let mut sections: Vec<Section> = Vec::new();
        for (place, line) in (1..).zip(text.lines()) {
            let at = |problem| TagsError { place: Place::Line(place), problem };
            let unknown = || at(Problem::Line(line.to_owned()));
            let words: Vec<&str> = line.split_whitespace().collect();
            match *words.as_slice() {
                [] => {}
                [word, ..] if word.starts_with('#') => {}
                ["cloud", word] => cloud = Some(word.to_owned()),
                ["change", number] => change_number = Some(number.parse().map_err(|_| unknown())?),
                ["date", day] => date = Some(day.parse().map_err(at)?),
                ["tag", name, change, region, ref marks @ ..] => {
                    let change = change.parse().map_err(|_| unknown())?;
                    let region = (region != "-").then(|| region.to_owned());
                    let endpoint = match marks {
                        [] => false,
                        ["VSE"] => true,
                        _ => return Err(unknown()),
                    };
                    let tag =
                        ServiceTag::new(name.to_owned(), region, change, endpoint, Vec::new());
                    sections.push(Section {
                        place,
                        tag,
                        prefixes: Vec::new(),
                        in_parent: Vec::new(),
                    });
                }
                [word] => {
                    let section = sections.last_mut().ok_or_else(unknown)?;
                    let own = word.strip_prefix('-');
                    let prefix = prefix(own.unwrap_or(word)).map_err(at)?.ok_or_else(unknown)?;
                    section.prefixes.push(prefix);
                    if own.is_none() {
                        section.in_parent.push(prefix);
                    }
                }
                _ => return Err(unknown()),
            }
        }
        let missing = |field| TagsError { place: Place::Line(1), problem: Problem::Missing(field) };
        let cloud = cloud.ok_or_else(|| missing("cloud"))?;
        let change_number = change_number.ok_or_else(|| missing("change"))?;
        join(Self::new(cloud, change_number, date), sections)
    }
}

impl fmt::Display for ServiceTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cloud {}", self.cloud())?;
        writeln!(f, "change {}", self.change_number())?;
        if let Some(date) = self.date() {
            writeln!(f, "date {date}")?;
        }
        for tag in self.tags() {
            let (region, mark) =
                (tag.region().unwrap_or("-"), if tag.is_endpoint() { " VSE" } else { "" });
            writeln!(f, "tag {} {} {region}{mark}", tag.name(), tag.change_number())?;
            let parent = self.parent(tag);
            let in_parts: BTreeSet<Ipv4Net> =
                self.sub_tags(tag.name()).flat_map(ServiceTag::prefixes).copied().collect();
            for &prefix in tag.prefixes().iter().filter(|prefix| !in_parts.contains(prefix)) {
                let own = parent.is_some_and(|parent| !parent.lists(prefix));
                writeln!(f, "{}{prefix}", if own { "-" } else { "" })?;
            }
        }
        Ok(())
    }
}

struct Section {
    place: usize,
    tag: ServiceTag,
    prefixes: Vec<Ipv4Net>,
    in_parent: Vec<Ipv4Net>,
}

fn join(mut list: ServiceTags, sections: Vec<Section>) -> Result<ServiceTags, TagsError> {
    let mut of_parents: BTreeMap<String, Vec<Ipv4Net>> = BTreeMap::new();
    for section in &sections {
        if let Some((parent, _)) = section.tag.name().split_once('.') {
            of_parents.entry(parent.to_ascii_lowercase()).or_default().extend(&section.in_parent);
        }
    }
    for Section { place, mut tag, prefixes, .. } in sections {
        let of_parts = of_parents.remove(&tag.name().to_ascii_lowercase());
        tag.extend(prefixes.into_iter().chain(of_parts.into_iter().flatten()));
        list.insert(tag).map_err(|problem| TagsError { place: Place::Line(place), problem })?;
    }
    Ok(list)
}
