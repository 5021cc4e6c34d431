//! The three forms of a list, and what is said of a wrong one.

use ipnet::Ipv4Net;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use serde_json::{Value, json};
use vnetem_azure::{Date, Place, Problem, ServiceTags, TagsError};

const PUBLISHED: &str = include_str!("lists/published.json");
const API: &str = include_str!("lists/api.json");
const TEXT: &str = include_str!("lists/published.txt");

/// The generator of the embedded list: published JSON in, text out.
#[test]
fn published_list_round_trips_as_text() {
    let date = Date::in_file_name("ServiceTags_Public_20251028.json");
    let tags = ServiceTags::from_json(PUBLISHED, date).unwrap();
    assert_eq!(tags.to_string(), TEXT);
    assert_eq!(ServiceTags::from_text(TEXT), Ok(tags));
}

/// Numbers as text, no features, fields in `properties` or not, bare addresses: the same tags all
/// the same.
#[test]
fn api_form_gives_equal_tags() {
    let api = ServiceTags::from_json(API, None).unwrap();
    let marked = |text: &str| text.replace("date 2025-10-28\n", "").replace(" VSE", "");
    assert_eq!(api.to_string(), marked(TEXT));
    assert!(api.tags().all(|tag| !tag.is_endpoint()));
}

#[test]
fn tag_names_ignore_letter_case() {
    let tags = ServiceTags::from_text(TEXT).unwrap();
    let tag = tags.tag("STORAGE.francecentral").unwrap();
    assert_eq!((tag.name(), tag.region()), ("Storage.FranceCentral", Some("francecentral")));
    assert_eq!(tags.parent(tag), tags.tag("storage"));
    let parts: Vec<_> = tags.sub_tags("storage").map(|tag| tag.name()).collect();
    assert_eq!(parts, ["Storage.FranceCentral", "Storage.WestEurope"]);
}

/// E-01, also where the list marks none.
#[test]
fn endpoint_tags_include_their_parts() {
    for list in [ServiceTags::from_text(TEXT).unwrap(), ServiceTags::from_json(API, None).unwrap()]
    {
        let kept = list.endpoint_tags();
        let names: Vec<_> = kept.tags().map(|tag| tag.name()).collect();
        assert_eq!(names, ["Storage", "Storage.FranceCentral", "Storage.WestEurope"]);
    }
}

#[test]
fn wrong_value_error_names_its_path() {
    for (pointer, value, said) in [
        ("/cloud", Value::Null, "\"cloud\" is missing"),
        ("/cloud", json!("Public cloud"), "cloud: \"Public cloud\" is not a name"),
        ("/changeNumber", json!("many"), "changeNumber: expected a number"),
        ("/values", json!({}), "values: expected a list"),
        ("/values/1", json!(7), "values[1]: \"addressPrefixes\" is missing"),
        ("/values/1/name", Value::Null, "values[1]: \"name\" is missing"),
        ("/values/1/name", json!("STORAGE"), "values[1]: there is a tag STORAGE already"),
        ("/values/2/properties/region", json!(18), "values[2].properties.region: expected text"),
        (
            "/values/0/properties/addressPrefixes/2",
            json!("20.38.98.0/33"),
            "values[0].properties.addressPrefixes[2]: \"20.38.98.0/33\" is not a prefix",
        ),
        (
            "/values/0/properties/addressPrefixes/1",
            json!("20.60.0.1/16"),
            "values[0].properties.addressPrefixes[1]: 20.60.0.1/16 has bits behind its length; 20.60.0.0/16 is meant",
        ),
        (
            "/values/0/properties/networkFeatures/4",
            json!(1),
            "values[0].properties.networkFeatures[4]: expected text",
        ),
    ] {
        let mut list: Value = serde_json::from_str(PUBLISHED).unwrap();
        *list.pointer_mut(pointer).unwrap() = value;
        let error = ServiceTags::from_json(&list.to_string(), None).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}

#[test]
fn single_page_is_not_the_list() {
    let page =
        API.replace("\"nextLink\": null", "\"nextLink\": \"https://management.azure.com/2\"");
    let error = ServiceTags::from_json(&page, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nextLink: one page only, the next is at https://management.azure.com/2"
    );
    let last = API.replace("\"nextLink\": null", "\"nextLink\": \"\"");
    assert_eq!(ServiceTags::from_json(&last, None), ServiceTags::from_json(API, None));
}

#[test]
fn invalid_json_error_has_its_line() {
    let error = ServiceTags::from_json("{\n  \"cloud\": Public }", None).unwrap_err();
    assert!(
        matches!(&error.problem, Problem::Syntax(words) if words.contains("line 2")),
        "{error}"
    );
}

#[test]
fn wrong_line_error_has_its_number() {
    let header = "cloud Public\nchange 375\n";
    for (line, problem) in [
        ("20.60.0.0/16", Problem::Line("20.60.0.0/16".to_owned())),
        ("tag Storage", Problem::Line("tag Storage".to_owned())),
        ("tag Storage x -", Problem::Line("tag Storage x -".to_owned())),
        ("tag Storage 54 - FW", Problem::Line("tag Storage 54 - FW".to_owned())),
        ("date today", Problem::Date("today".to_owned())),
        ("tag A 1 -\ntag a 1 -", Problem::Repeated("a".to_owned())),
        ("tag A 1 -\n2603:1030::/48", Problem::Line("2603:1030::/48".to_owned())),
        ("tag A 1 -\n-20.60.0.1/16", Problem::HostBits("20.60.0.1/16".parse().unwrap())),
    ] {
        let text = format!("{header}# comment\n\n{line}\n");
        let place = Place::Line(text.lines().count());
        assert_eq!(ServiceTags::from_text(&text), Err(TagsError { place, problem }));
    }
    for (text, field) in [("change 375", "cloud"), ("cloud Public", "change")] {
        let error = TagsError { place: Place::Line(1), problem: Problem::Missing(field) };
        assert_eq!(ServiceTags::from_text(text), Err(error));
    }
}

/// Where the number of the last change is left out, null, empty or text, the list is read all the
/// same.
#[test]
fn change_numbers_may_be_missing() {
    let published: Value = serde_json::from_str(PUBLISHED).unwrap();
    let read = |list: &Value| ServiceTags::from_json(&list.to_string(), None).unwrap();
    let whole = read(&published);
    for value in [None, Some(Value::Null), Some(json!("")), Some(json!("0")), Some(json!(0))] {
        let mut list = published.clone();
        let set = |fields: &mut Value| match &value {
            None => {
                fields.as_object_mut().unwrap().remove("changeNumber");
            }
            Some(value) => fields["changeNumber"] = value.clone(),
        };
        set(&mut list);
        list["values"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|tag| set(&mut tag["properties"]));
        let tags = read(&list);
        assert_eq!(tags.change_number(), 0, "{value:?}");
        assert!(tags.tags().all(|tag| tag.change_number() == 0), "{value:?}");
        let prefixes = |tags: &ServiceTags| {
            tags.tags()
                .map(|tag| (tag.name().to_owned(), tag.prefixes().to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(prefixes(&tags), prefixes(&whole), "{value:?}");
        assert_eq!(ServiceTags::from_text(&tags.to_string()), Ok(tags));
    }
    let mut list = published.clone();
    list["changeNumber"] = json!("375");
    assert_eq!(read(&list), whole);
}

/// Names of a list are not echoed as they are.
#[test]
fn errors_show_no_escapes_of_lists() {
    let mut list: Value = serde_json::from_str(PUBLISHED).unwrap();
    list["values"][0]["name"] = json!(format!("\u{1b}[31m {}", "x".repeat(100_000)));
    let error = ServiceTags::from_json(&list.to_string(), None).unwrap_err().to_string();
    assert!(error.starts_with("values[0].name: \"\\u{1b}[31m xxx"), "{error}");
    assert!(error.len() < 300 && error.ends_with("...\" is not a name"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever sub-tags share with their parents, or list without one.
    #[test]
    fn both_list_forms_agree(list in list()) {
        let tags = ServiceTags::from_json(&list.to_string(), None).unwrap();
        prop_assert_eq!(ServiceTags::from_text(&tags.to_string()), Ok(tags.clone()));
        for tag in list["values"].as_array().unwrap() {
            let mut prefixes: Vec<Ipv4Net> = tag["properties"]["addressPrefixes"]
                .as_array().unwrap().iter().map(|prefix| prefix.as_str().unwrap().parse().unwrap()).collect();
            prefixes.sort();
            prop_assert_eq!(tags.tag(tag["name"].as_str().unwrap()).unwrap().prefixes(), prefixes);
        }
    }
}

/// A list of tags with few names and few prefixes.
fn list() -> impl Strategy<Value = Value> {
    let prefixes = btree_set((0..4_u8, 22..=32_u8), 0..8);
    let name = prop::sample::select(vec!["A", "A.North", "A.South", "A.B.C", "B.North", "Ax"]);
    btree_map(name, (prefixes, any::<bool>()), 0..6).prop_map(|tags| {
        let values: Vec<_> = tags
            .into_iter()
            .map(|(name, (prefixes, marked))| {
                let prefixes: Vec<_> = prefixes
                    .into_iter()
                    .map(|(third, length)| {
                        Ipv4Net::new_assert([20, 1, third, 0].into(), length).trunc().to_string()
                    })
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .collect();
                let features = if marked { vec!["API", "VSE"] } else { vec![] };
                json!({ "name": name, "properties": {
                    "changeNumber": 1, "region": "", "addressPrefixes": prefixes, "networkFeatures": features,
                } })
            })
            .collect();
        json!({ "cloud": "Public", "changeNumber": 1, "values": values })
    })
}
