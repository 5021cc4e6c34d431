//! What is not quite JSON is read; what is no file of ours is said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use vnetem_azure::import::{FileKind, ImportProblem, Importer, Inventory};

const VNET: &str = r#"{
  "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v",
  "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
  "subnets": [ { "name": "a", "addressPrefix": "10.0.0.0/24" } ]
}"#;

fn read(bytes: &[u8]) -> Result<(FileKind, Inventory), String> {
    let mut importer = Importer::new();
    let kind = importer.read("file", bytes).map_err(|error| error.to_string())?;
    Ok((kind, importer.inventory()))
}

#[track_caller]
fn is_the_network(bytes: &[u8]) {
    let (kind, inventory) = read(bytes).unwrap();
    assert_eq!(kind, FileKind::Resources);
    assert_eq!(inventory.subnets[0].prefixes, ["10.0.0.0/24".parse().unwrap()]);
    assert_eq!(inventory.unresolved, []);
}

#[test]
fn byte_order_marks_are_passed_over() {
    is_the_network(&[b"\xef\xbb\xbf", VNET.as_bytes()].concat());
    let wide = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
        let units = VNET.encode_utf16().flat_map(bytes);
        mark.into_iter().chain(units).collect::<Vec<u8>>()
    };
    is_the_network(&wide([0xff, 0xfe], u16::to_le_bytes));
    is_the_network(&wide([0xfe, 0xff], u16::to_be_bytes));
    // PowerShell's redirection writes UTF-16, and some tools leave the mark out.
    is_the_network(&wide([0xff, 0xfe], u16::to_le_bytes)[2..]);
}

#[test]
fn comments_and_trailing_commas_are_taken() {
    is_the_network(VNET.replace("\"subnets\"", "// subnets\n/* of v */ \"subnets\"").as_bytes());
    is_the_network(VNET.replace("} ]", "}, ],").as_bytes());
}

#[test]
fn raw_line_breaks_stand_in_strings() {
    is_the_network(VNET.replace("\"subnets\"", "\"note\": \"one\ntwo\", \"subnets\"").as_bytes());
}

#[test]
fn spinner_of_az_is_skipped() {
    is_the_network(format!(" - Finished ..\n{VNET}").as_bytes());
    is_the_network(format!(" | Running ..\r\n{VNET}").as_bytes());
}

#[test]
fn broken_json_has_line_and_column() {
    let wrong = VNET.replace("\"subnets\": [", "\"subnets\" [");
    let error = read(wrong.as_bytes()).unwrap_err();
    assert_eq!(
        error,
        "file: line 4 column 13: not JSON: expected colon after the string or word in object property"
    );
    // The line of the spinner counts.
    let error = read(format!(" - Finished ..\n{wrong}").as_bytes()).unwrap_err();
    assert!(error.starts_with("file: line 5 column 13: "), "{error}");
    let error = read(b"{\n \"a\": \xff }").unwrap_err();
    assert_eq!(
        error,
        "file: line 2 column 7: not JSON: bytes that are neither UTF-8 nor UTF-16 text"
    );
}

#[test]
fn nesting_without_end_is_refused() {
    for open in ["[", "{\"a\":"] {
        let error = read(open.repeat(200_000).as_bytes()).unwrap_err();
        assert!(error.contains("not JSON"), "{error}");
    }
}

#[test]
fn files_of_others_are_named() {
    for (bytes, said) in [
        (&b"PK\x03\x04 plan"[..], "terraform show -json"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xd4\xc3\xb2\xa1\x02\0", "packet capture"),
        (b"\x0a\x0d\x0d\x0a\x1c\0", "packet capture"),
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"resource \"azurerm_subnet\" \"a\" {\n}\n", "Terraform source"),
        (b"param location string = 'westeurope'\n", "bicep build"),
        (b"Name : v\nResourceGroupName : g\n", "ConvertTo-Json"),
        (b"Name    Group\n------  -----\nv  g\n", "-o json"),
        (b"<html></html>", "markup"),
        (b"Terraform will perform the following actions:\n", "terraform show -json"),
        (b"{ \"access\": \"Deny\", \"ruleName\": \"r\" }", "IP flow check"),
        (b"{ \"nextHopType\": \"Internet\" }", "next-hop check"),
        (br#"{ "records": [ { "time": "t", "category": "AuditEvent" } ] }"#, "AuditEvent"),
        (br#"{ "parameters": { "a": { "value": 1 } } }"#, "parameters file"),
        (br#"[ { "id": "x", "address_prefix": "10.0.0.0/8", "akas": [] } ]"#, "snake case"),
        (b"{ \"a\": 1, \"b\": 2 }", "no reader knows, with the fields a, b"),
        (b"[1, 2]", "a list that no reader knows"),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(error.contains(said), "{error}: {said}");
    }
}

#[test]
fn shape_tells_the_kind() {
    for (text, kind) in [
        (
            r#"{ "$schema": "https://x/2019-04-01/deploymentTemplate.json#", "resources": [] }"#,
            FileKind::ArmTemplate,
        ),
        (
            r#"{ "$schema": "https://x/2018-05-01/subscriptionDeploymentTemplate.json#", "resources": {} }"#,
            FileKind::ArmTemplate,
        ),
        (r#"{ "contentVersion": "1.0.0.0", "resources": [] }"#, FileKind::ArmTemplate),
        (
            r#"{ "properties": { "mainTemplate": { "$schema": "deploymentTemplate.json#", "resources": [] } } }"#,
            FileKind::ArmTemplate,
        ),
        (
            r#"{ "$schema": "https://x/2019-04-01/deploymentParameters.json#", "parameters": {} }"#,
            FileKind::ArmParameters,
        ),
        (r#"{ "format_version": "1.2", "resource_changes": [] }"#, FileKind::TerraformPlan),
        (r#"{ "mock": { "a": { "resource_changes": [] } } }"#, FileKind::TerraformPlan),
        (
            r#"{ "format_version": "1.0", "terraform_version": "1.3.1", "values": { "root_module": {} } }"#,
            FileKind::TerraformState,
        ),
        (
            r#"{ "version": 4, "terraform_version": "1.3.1", "resources": [] }"#,
            FileKind::TerraformState,
        ),
        (r#"{ "status": "Succeeded", "changes": [] }"#, FileKind::WhatIf),
        (
            r#"{ "properties": { "changes": [ { "resourceId": "/x", "changeType": "Ignore" } ] } }"#,
            FileKind::WhatIf,
        ),
        (r#"{ "cloud": "Public", "changeNumber": 1, "values": [] }"#, FileKind::ServiceTags),
        (
            r#"{ "value": [ { "nextHopType": "None", "addressPrefix": ["10.0.0.0/8"] } ] }"#,
            FileKind::EffectiveRoutes,
        ),
        (r#"{ "value": [] }"#, FileKind::Resources),
        (r#"{"records":[{"flowRecords":{"flows":[]}}]}"#, FileKind::FlowLog),
    ] {
        assert_eq!(read(text.as_bytes()).map(|(kind, _)| kind), Ok(kind), "{text}");
    }
}

#[test]
fn lists_come_in_many_wrappings() {
    let graph = r#"{ "totalRecords": 1, "data": { "columns": [ { "name": "id" }, { "name": "properties" } ],
        "rows": [ [ "/subscriptions/s/resourceGroups/g/providers/microsoft.network/virtualnetworks/v",
        { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
          "subnets": [ { "name": "a", "properties": { "addressPrefix": "10.0.0.0/24" } } ] } ] ] } }"#;
    is_the_network(graph.as_bytes());
    for list in [
        format!("[{VNET}]"),
        format!("[[{VNET}]]"),
        format!("{{ \"value\": [{VNET}], \"nextLink\": null }}"),
        format!(
            "{{ \"count\": 1, \"data\": [{VNET}], \"skip_token\": null, \"total_records\": 1 }}"
        ),
        format!("{{ \"body\": {{ \"string\": {} }} }}", serde_json::to_string(VNET).unwrap()),
    ] {
        is_the_network(list.as_bytes());
    }
    let shell = r#"[ { "Name": "v", "Type": null,
        "Id": "/subscriptions/<SUB>/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v",
        "AddressSpace": { "AddressPrefixes": ["10.0.0.0/16"] },
        "Subnets": [ { "Name": "a", "AddressPrefix": ["10.0.0.0/24"], "RouteTable": null } ] } ]"#;
    is_the_network(shell.as_bytes());
}

#[test]
fn page_of_several_is_said() {
    let page = format!("{{ \"value\": [{VNET}], \"nextLink\": \"https://next\" }}");
    let (_, inventory) = read(page.as_bytes()).unwrap();
    assert_eq!(inventory.unresolved[0].place.path, "nextLink");
}

#[test]
fn placeholders_of_reference_pages_are_refused() {
    let template = r#"{ "contentVersion": "1.0.0.0", "resources": [ {
        "type": "Microsoft.Network/virtualNetworks", "name": "v", "location": "westeurope",
        "properties": { "addressSpace": { "addressPrefixes": [ "string" ] } } } ] }"#;
    let mut importer = Importer::new();
    let error = importer.read("page.json", template.as_bytes()).unwrap_err();
    assert_eq!(
        error.problem,
        ImportProblem::Value {
            path: "resources[0].properties.addressSpace.addressPrefixes".to_owned(),
            what: "the placeholder \"string\" of a reference page, no value".to_owned(),
        }
    );
    assert!(importer.inventory().vnets.is_empty());
}
