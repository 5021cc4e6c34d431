//! JSON values that know where they stand, so that an error can say it; and the two published forms
//! of a list.

use core::fmt;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::service_tags::{name, prefix};
use crate::{Date, Place, Problem, ServiceTag, ServiceTags, TagsError, region_name};

impl ServiceTags {
    /// Reads the list as it is published for download, or as the API and
    /// `az network list-service-tags` give it.
    ///
    /// The list itself does not say its day; [`Date::in_file_name`] finds it in the name of a
    /// published file. IPv6 prefixes are passed over; fields that are not needed may be absent or
    /// unknown, and so may the number of the last change, which is 0 then.
    ///
    /// # Errors
    ///
    /// If the text is not such a list, with the path of the value that is wrong.
    pub fn from_json(text: &str, date: Option<Date>) -> Result<Self, TagsError> {
        let value: Value = serde_json::from_str(text).map_err(|error| TagsError {
            place: Place::Path(String::new()),
            problem: Problem::Syntax(error.to_string()),
        })?;
        let list = Node { parent: None, step: Step::Root, value: &value };
        if let Some(link) = list.field("nextLink") {
            match link.text()? {
                "" => {}
                text => return Err(link.error(Problem::Incomplete(text.to_owned()))),
            }
        }
        let mut tags = Self::new(list.required("cloud")?.name()?, list.change_number()?, date);
        for tag in list.required("values")?.items()? {
            tags.insert(tag.service_tag()?).map_err(|problem| tag.error(problem))?;
        }
        Ok(tags)
    }
}

/// A value in a document, and the way to it.
struct Node<'a> {
    parent: Option<&'a Node<'a>>,
    step: Step<'a>,
    value: &'a Value,
}

enum Step<'a> {
    Root,
    Field(&'a str),
    Item(usize),
}

impl Node<'_> {
    /// One tag; the API wraps its fields in `properties`, command-line tools may take the wrapping
    /// off.
    fn service_tag(&self) -> Result<ServiceTag, TagsError> {
        let wrapped = self.field("properties");
        let properties = wrapped.as_ref().unwrap_or(self);
        let mut prefixes = Vec::new();
        for item in properties.required("addressPrefixes")?.items()? {
            prefixes.extend(item.prefix()?);
        }
        let region = match properties.field("region") {
            Some(region) if !region.text()?.is_empty() => {
                Some(region_name(&region.name()?).to_owned())
            }
            _ => None,
        };
        let mut endpoint = false;
        if let Some(features) = properties.field("networkFeatures") {
            for feature in features.items()? {
                endpoint |= feature.text()? == "VSE";
            }
        }
        Ok(ServiceTag::new(
            self.required("name")?.name()?,
            region,
            properties.change_number()?,
            endpoint,
            prefixes,
        ))
    }

    /// The field of this name, unless it is absent or null.
    fn field<'b>(&'b self, name: &'b str) -> Option<Node<'b>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node { parent: Some(self), step: Step::Field(name), value })
    }

    fn required(&self, name: &'static str) -> Result<Node<'_>, TagsError> {
        self.field(name).ok_or_else(|| self.error(Problem::Missing(name)))
    }

    fn items(&self) -> Result<impl Iterator<Item = Node<'_>>, TagsError> {
        let items = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        Ok(items.iter().enumerate().map(|(place, value)| Node {
            parent: Some(self),
            step: Step::Item(place),
            value,
        }))
    }

    fn text(&self) -> Result<&str, TagsError> {
        self.value.as_str().ok_or_else(|| self.expected("text"))
    }

    /// The number of the last change, which some lists leave out or leave empty: 0 then.
    fn change_number(&self) -> Result<u64, TagsError> {
        match self.field("changeNumber") {
            Some(number) if number.value != "" => number.number(),
            _ => Ok(0),
        }
    }

    /// The API writes numbers as text.
    fn number(&self) -> Result<u64, TagsError> {
        let number = match self.value {
            Value::String(digits) => digits.parse().ok(),
            other => other.as_u64(),
        };
        number.ok_or_else(|| self.expected("a number"))
    }

    fn name(&self) -> Result<String, TagsError> {
        name(self.text()?).map_err(|problem| self.error(problem))
    }

    fn prefix(&self) -> Result<Option<Ipv4Net>, TagsError> {
        prefix(self.text()?).map_err(|problem| self.error(problem))
    }

    fn expected(&self, what: &'static str) -> TagsError {
        self.error(Problem::Expected(what))
    }

    fn error(&self, problem: Problem) -> TagsError {
        TagsError { place: Place::Path(self.to_string()), problem }
    }
}

impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if matches!(
                (&parent.step, &self.step),
                (Step::Field(_) | Step::Item(_), Step::Field(_))
            ) {
                f.write_str(".")?;
            }
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) => f.write_str(name),
            Step::Item(place) => write!(f, "[{place}]"),
        }
    }
}
