//! What a file is when it is none that can be read.

use super::value::Value;

pub(crate) const EMPTY: &str = "the file is empty";

/// Says what a file of these bytes is, if it is no text.
pub(crate) fn binary(bytes: &[u8]) -> Option<String> {
    let what = match bytes {
        [b'P', b'K', 3 | 5, ..] => {
            "a binary Terraform plan (or another zip file): run `terraform show -json PLAN` \
             and give its output"
        }
        [0x1f, 0x8b, ..] => "a gzip file: unpack it first",
        [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..]
        | [0x0a, 0x0d, 0x0d, 0x0a, ..] => "a packet capture: `--pcap` takes it",
        _ => return None,
    };
    Some(what.to_owned())
}

/// Says what a text is that is not JSON.
pub(crate) fn text(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let begins = |words: &[&str]| words.iter().any(|word| first.starts_with(word));
    let table = || text.lines().any(|line| line.trim_start().starts_with("----"));
    let list = || {
        first.split_once(" : ").is_some_and(|(name, _)| {
            name.trim().chars().all(|c| c.is_ascii_alphanumeric()) && !name.trim().is_empty()
        })
    };
    let what = if begins(&["resource \"", "terraform {", "provider \"", "module \"", "variable \""])
    {
        "Terraform source: run `terraform plan -out PLAN` and `terraform show -json PLAN`"
    } else if begins(&["param ", "targetScope", "@description", "@minLength", "using "]) {
        "Bicep source: run `bicep build` and give the JSON that it writes"
    } else if begins(&["<"]) {
        "a page of markup, not JSON"
    } else if begins(&["Terraform used the selected", "Terraform will perform", "# azurerm_"]) {
        "the plan as Terraform prints it: run `terraform show -json PLAN` and give its output"
    } else if begins(&["Note: The result may contain false positive"]) {
        "the text of a what-if: add `--no-pretty-print` and give the JSON"
    } else if list() || table() {
        "a table or list as a shell prints it: add `-o json` to `az`, or `| ConvertTo-Json \
         -Depth 20` in PowerShell"
    } else {
        return None;
    };
    Some(what.to_owned())
}

/// Says what a JSON value is that no reader takes.
pub(crate) fn json(value: &Value) -> String {
    let item = match value {
        Value::List(items) => items.first().unwrap_or(value),
        _ => value.at("records").as_list().and_then(<[Value]>::first).unwrap_or(value),
    };
    let has = |name: &str| !item.at(name).is_null();
    if has("category") && has("time") {
        let category = item.at("category").as_text().unwrap_or("another");
        return format!("a diagnostic log of the category {category}, no flow log");
    }
    if has("metricName") && has("time") {
        return "a log of metrics, no flow log".to_owned();
    }
    if has("access") && has("ruleName") {
        return "the answer of an IP flow check; it holds no network".to_owned();
    }
    if has("nextHopType") {
        return "the answer of a next-hop check; it holds no network".to_owned();
    }
    if has("address_prefix") || has("resource_group") || has("subscription_id") {
        return "rows of an inventory tool in snake case; give the resources as `az` prints them"
            .to_owned();
    }
    if has("parameters") && !has("resources") {
        return "a parameters file: give it as `--parameters` beside its template".to_owned();
    }
    let mut names: Vec<_> =
        value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).take(6).collect();
    if names.is_empty() {
        return format!("{} that no reader knows", value.kind());
    }
    names.sort_unstable();
    format!("an object that no reader knows, with the fields {}", names.join(", "))
}
