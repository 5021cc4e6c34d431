//! `vnetem tags`: what the list of service tags has.

use serde_json::{Value, json};
use vnetem_azure::{EndpointService, ServiceTag, ServiceTags};

use crate::arguments::{Common, Output, Tags};
use crate::{Answer, Failure, load};

pub(crate) fn tags(common: &Common, asked: &Tags) -> Result<Answer, Failure> {
    let list = load::tags(&asked.list)?;
    let found = match (&asked.name, &asked.region) {
        (None, _) => list.tags().collect(),
        (Some(name), None) => vec![named(&list, name)?],
        (Some(name), Some(region)) => vec![in_region(&list, named(&list, name)?, region)?],
    };
    let text = match common.output {
        Output::Text if asked.name.is_none() => table(&found),
        Output::Text => found.iter().flat_map(|tag| tag.prefixes()).fold(String::new(), line),
        Output::Json => json_of(&list, &found),
    };
    Ok(Answer { text, notes: Vec::new(), good: true })
}

/// The tag of an endpoint service, or the tag of this name.
fn named<'a>(list: &'a ServiceTags, name: &str) -> Result<&'a ServiceTag, Failure> {
    let service = EndpointService::named(name);
    let tag = service.map_or(name, |service| service.tag);
    list.tag(tag).ok_or_else(|| {
        let near = list.tags().map(ServiceTag::name).filter(|known| alike(known, name));
        let near: Vec<&str> = near.take(5).collect();
        let hint = if near.is_empty() {
            "\"vnetem tags\" lists all, --tags FILE gives another list".to_owned()
        } else {
            format!("there is {}", near.join(", "))
        };
        format!("the list of tags has no service or tag {name}; {hint}").into()
    })
}

/// The part of a tag for a region, in any spelling of its name.
fn in_region<'a>(
    list: &'a ServiceTags,
    tag: &ServiceTag,
    region: &str,
) -> Result<&'a ServiceTag, Failure> {
    let part =
        |part: &&ServiceTag| part.region().is_some_and(|known| plain(known) == plain(region));
    list.sub_tags(tag.name()).find(part).ok_or_else(|| {
        let regions: Vec<&str> = list.sub_tags(tag.name()).filter_map(ServiceTag::region).collect();
        let known = match regions.as_slice() {
            [] => "it is not parted by regions".to_owned(),
            regions => format!("it has {}", regions.join(", ")),
        };
        format!("{} has no region {region}; {known}", tag.name()).into()
    })
}

/// `West Europe`, `west-europe` and `WestEurope` are one.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn alike(known: &str, name: &str) -> bool {
    let (known, name) = (plain(known), plain(name));
    !name.is_empty() && (known.contains(&name) || name.ends_with(&known))
}

fn line(text: String, prefix: &vnetem::Ipv4Net) -> String {
    text + &format!("{prefix}\n")
}

fn table(tags: &[&ServiceTag]) -> String {
    let width = tags.iter().map(|tag| tag.name().len()).max().unwrap_or(0);
    let row = |tag: &&ServiceTag| {
        let access = if tag.is_endpoint() { "   service endpoint" } else { "" };
        format!("{:<width$}  {:>5}{access}\n", tag.name(), tag.prefixes().len())
    };
    tags.iter().map(row).collect()
}

fn json_of(list: &ServiceTags, tags: &[&ServiceTag]) -> String {
    let tags = tags.iter().map(|tag| {
        json!({
            "name": tag.name(),
            "region": tag.region(),
            "changeNumber": tag.change_number(),
            "serviceEndpoint": tag.is_endpoint(),
            "addressPrefixes": tag.prefixes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    let answer = json!({
        "schema": "vnetem/1",
        "cloud": list.cloud(),
        "changeNumber": list.change_number(),
        "date": list.date().map(|date| date.to_string()),
        "tags": tags.collect::<Vec<Value>>(),
    });
    format!("{answer:#}\n")
}
