//! ARM templates are reckoned as a deployment would, as far as no running platform is needed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use serde_json::{Value, json};
use vnetem_azure::import::{
    DeploymentScope, ImportProblem, Importer, Inventory, Link, RouteTarget,
};

const SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

fn read(template: &Value) -> Result<Inventory, ImportProblem> {
    let mut importer = Importer::new();
    importer.deploy_to(DeploymentScope {
        subscription: Some("sub".to_owned()),
        resource_group: Some("rg".to_owned()),
        location: Some("westeurope".to_owned()),
    });
    importer.read("t.json", template.to_string().as_bytes()).map_err(|error| error.problem)?;
    Ok(importer.inventory())
}

fn network(name: &str, range: &str) -> Value {
    json!({ "type": "Microsoft.Network/virtualNetworks", "name": name,
        "properties": { "addressSpace": { "addressPrefixes": [range] } } })
}

/// What an expression gives, in the protocol of a rule; or why it is not known.
fn reckon(expression: &str) -> String {
    let template = json!({ "$schema": SCHEMA,
        "parameters": {
            "given": { "type": "string", "defaultValue": "West" },
            "list": { "type": "array", "defaultValue": ["a", "b", "c"] },
            "object": { "type": "object", "defaultValue": { "One": 1, "two": { "three": "x" } } },
            "missing": { "type": "string" },
            "number": { "type": "int" },
            "nothing": { "type": "string", "nullable": true },
        },
        "variables": {
            "loop": "[variables('pool')]", "pool": "[variables('loop')]",
            "literal": "[[not an expression]", "half": "[open",
        },
        "functions": [ { "namespace": "own", "members": { "twice": {
            "parameters": [ { "name": "text", "type": "string" } ],
            "output": { "type": "string", "value": "[concat(parameters('text'), parameters('text'))]" } } } } ],
        "resources": [ { "type": "Microsoft.Network/networkSecurityGroups", "name": "g", "properties": {
            "securityRules": [ { "name": "r", "properties": { "priority": 100, "direction": "Inbound",
                "access": "Allow", "protocol": expression } } ] } } ] });
    let inventory = read(&template).unwrap();
    let open = inventory.unresolved.iter().find(|one| one.place.path.starts_with("resources"));
    open.map_or_else(
        || inventory.security_groups[0].rules[0].protocol.clone(),
        |one| format!("?{}", one.why),
    )
}

#[test]
fn functions_give_what_azure_gives() {
    for (expression, value) in [
        ("plain", "plain"),
        ("[parameters('given')]", "West"),
        ("[PARAMETERS('GIVEN')]", "West"),
        ("[variables('literal')]", "[not an expression]"),
        ("[variables('half')]", "[open"),
        ("[concat('a', 1, true())]", "a1True"),
        ("[concat('it''s', '-', parameters('given'))]", "it's-West"),
        ("[format('{0}-{1:D3}-{{x}}', 'a', 7)]", "a-007-{x}"),
        ("[format('{0,3}|{0,-3}|', 'a')]", "  a|a  |"),
        ("[toLower(toUpper('aBc'))]", "abc"),
        ("[substring('abcdef', 1, 3)]", "bcd"),
        ("[replace('a-b-c', '-', '_')]", "a_b_c"),
        ("[split('a/b/c', '/')[1]]", "b"),
        ("[last(split('a,b;c', createArray(',', ';')))]", "c"),
        ("[first('abc')]", "a"),
        ("[take('abc', 2)]", "ab"),
        ("[skip('abc', 2)]", "c"),
        ("[join(take(parameters('list'), 2), '+')]", "a+b"),
        ("[string(skip(parameters('list'), 1))]", r#"["b","c"]"#),
        ("[padLeft('7', 3, '0')]", "007"),
        ("[trim('  a ')]", "a"),
        ("[string(length(parameters('list')))]", "3"),
        ("[string(parameters('list'))]", r#"["a","b","c"]"#),
        ("[parameters('list')[2]]", "c"),
        ("[string(parameters('object').one)]", "1"),
        ("[parameters('object').two.three]", "x"),
        ("[parameters('object')['two']['three']]", "x"),
        ("[coalesce(parameters('object').?four, 'none')]", "none"),
        ("[coalesce(parameters('object').?four.?five, parameters('nothing'), 'none')]", "none"),
        ("[coalesce(tryGet(parameters('object'), 'two', 'three'), 'none')]", "x"),
        ("[if(equals(parameters('given'), 'West'), 'yes', 'no')]", "yes"),
        ("[if(and(true(), not(false()), or(false(), true())), 'yes', 'no')]", "yes"),
        ("[if(empty(''), 'yes', 'no')]", "yes"),
        ("[if(contains(parameters('list'), 'b'), 'yes', 'no')]", "yes"),
        ("[if(contains(parameters('object'), 'ONE'), 'yes', 'no')]", "yes"),
        ("[if(contains('abc', 'b'), 'yes', 'no')]", "yes"),
        ("[if(startsWith('abc', 'AB'), 'yes', 'no')]", "yes"),
        ("[string(add(mul(2, 3), sub(mod(7, 4), div(9, 4))))]", "7"),
        ("[string(int('12'))]", "12"),
        ("[string(max(createArray(1, 5, 3)))]", "5"),
        ("[string(min(4, 2))]", "2"),
        ("[if(greater(3, 2), 'yes', 'no')]", "yes"),
        ("[if(lessOrEquals('a', 'b'), 'yes', 'no')]", "yes"),
        ("[string(indexOf('abcb', 'B'))]", "1"),
        ("[string(lastIndexOf(createArray(1, 2, 1), 1))]", "2"),
        ("[string(range(2, 3))]", "[2,3,4]"),
        (
            "[string(union(createObject('a', 1), createObject('b', createArray())))]",
            r#"{"a":1,"b":[]}"#,
        ),
        ("[string(union(createArray(1, 2), createArray(2, 3)))]", "[1,2,3]"),
        ("[string(intersection(createArray(1, 2), createArray(2, 3)))]", "[2]"),
        ("[string(flatten(createArray(createArray(1), createArray(2))))]", "[1,2]"),
        ("[string(array('a'))]", r#"["a"]"#),
        ("[json('{\"a\": [1, \"x\"]}').a[1]]", "x"),
        ("[base64ToString(base64('héllo'))]", "héllo"),
        ("[uriComponent('a b')]", "a%20b"),
        ("[uri('https://x/y/z', 'w')]", "https://x/y/w"),
        ("[items(createObject('k', 'v'))[0].key]", "k"),
        ("[join(objectKeys(parameters('object')), ',')]", "One,two"),
        (
            "[string(map(parameters('list'), lambda('x', concat(lambdaVariables('x'), '!'))))]",
            r#"["a!","b!","c!"]"#,
        ),
        ("[string(map(parameters('list'), lambda('x', 'i', lambdaVariables('i'))))]", "[0,1,2]"),
        (
            "[string(filter(parameters('list'), lambda('x', not(equals(lambdaVariables('x'), 'b')))))]",
            r#"["a","c"]"#,
        ),
        (
            "[reduce(parameters('list'), '', lambda('s', 'x', concat(lambdaVariables('s'), lambdaVariables('x'))))]",
            "abc",
        ),
        (
            "[string(sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b')))))]",
            "[1,2,3]",
        ),
        (
            "[string(toObject(parameters('list'), lambda('x', lambdaVariables('x')), lambda('x', 1)))]",
            r#"{"a":1,"b":1,"c":1}"#,
        ),
        (
            "[string(groupBy(createArray('ab', 'ac'), lambda('x', first(lambdaVariables('x')))))]",
            r#"{"a":["ab","ac"]}"#,
        ),
        (
            "[string(mapValues(createObject('k', 2), lambda('v', add(lambdaVariables('v'), 1))))]",
            r#"{"k":3}"#,
        ),
        ("[cidrSubnet('10.0.0.0/16', 24, 3)]", "10.0.3.0/24"),
        ("[cidrHost('10.0.0.0/24', 3)]", "10.0.0.4"),
        ("[parseCidr('10.0.0.0/22').broadcast]", "10.0.3.255"),
        ("[own.twice('ab')]", "abab"),
        (
            "[last(split(resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 's'), '/'))]",
            "s",
        ),
        ("[subscription().subscriptionId]", "sub"),
        ("[resourceGroup().location]", "westeurope"),
        ("[tail]x", "[tail]x"),
    ] {
        assert_eq!(reckon(expression), value, "{expression}");
    }
}

#[test]
fn uncomputable_expressions_say_why() {
    for (expression, why) in [
        ("[reference('x').y]", "known only at run time: [reference('x').y]"),
        (
            "[listKeys('x', '2021').keys[0].value]",
            "known only at run time: [listKeys('x', '2021').keys[0].value]",
        ),
        ("[parameters('none')]", "the template has no parameter none: [parameters('none')]"),
        ("[variables('loop')]", "loop hangs on itself: [variables('loop')]"),
        ("[parameters('number')]", "the parameter number has no value: [parameters('number')]"),
        ("[unheardOf(1)]", "the function unheardof is not evaluated: [unheardOf(1)]"),
        ("[div(1, 0)]", "div has no result: [div(1, 0)]"),
        ("[add(9223372036854775807, 1)]", "add has no result: [add(9223372036854775807, 1)]"),
        ("[concat('a']", "no expression: the expression ends where , is expected: [concat('a']"),
        ("['a]", "no expression: a quoted text without an end: ['a]"),
        (
            "[substring('ab', 1, 5)]",
            "\"ab\" is shorter than the part that is asked of it: [substring('ab', 1, 5)]",
        ),
        ("[parameters('list')[9]]", "a list has no field or item 9: [parameters('list')[9]]"),
        ("[copyIndex()]", "copyIndex outside its loop: [copyIndex()]"),
        (
            "[if(equals(parameters('missing'), 'x'), 'a', 'b')]",
            "hangs on missing, which has no value: [if(equals(parameters('missing'), 'x'), 'a', 'b')]",
        ),
    ] {
        let said = reckon(expression);
        let said = said.strip_prefix('?').unwrap_or(&said);
        let found =
            said == why || said.starts_with(&format!("{}: ", why.split(": [").next().unwrap()));
        assert!(found, "{expression}: {said}");
    }
}

#[test]
fn symbols_stand_for_missing_names() {
    assert_eq!(reckon("[parameters('missing')]"), "<missing>");
    assert_eq!(reckon("[concat('vnet-', parameters('missing'))]"), "vnet-<missing>");
    // A text with something beside the symbol is not empty, and its own part is known.
    assert_eq!(reckon("[if(empty(concat('a', parameters('missing'))), 'x', 'y')]"), "y");
    assert_eq!(reckon("[split(concat('a/', parameters('missing')), '/')[0]]"), "a");
    assert_eq!(reckon("[take(parameters('missing'), 3)]"), "<missing[3]>");
    // What the choice of a value would decide is not decided.
    assert!(reckon("[if(contains(parameters('missing'), 'x'), 'a', 'b')]").starts_with('?'));
}

#[test]
fn parameters_file_fills_the_template() {
    let mut importer = Importer::new();
    let template = json!({ "$schema": SCHEMA, "parameters": { "range": { "type": "string" }, "key": { "type": "securestring" } },
        "resources": [ network("v", "[parameters('range')]"), network("[parameters('key')]", "10.9.0.0/16") ] });
    importer.read("t.json", template.to_string().as_bytes()).unwrap();
    let open: Vec<_> = importer.inventory().unresolved.iter().map(ToString::to_string).collect();
    assert_eq!(
        open,
        [
            "t.json: resources[0].properties.addressSpace.addressPrefixes: the parameter range has no value",
            "t.json: parameters.key: no value is given and it has no default",
            "t.json: parameters.range: no value is given and it has no default",
        ]
    );
    let values = json!({ "$schema": "https://x/2019-04-01/deploymentParameters.json#", "parameters": {
        "Range": { "value": "10.1.0.0/16" }, "key": { "reference": { "secretName": "s" } } } });
    importer.read("p.json", values.to_string().as_bytes()).unwrap();
    let inventory = importer.inventory();
    assert_eq!(inventory.vnets[0].ranges, ["10.1.0.0/16".parse().unwrap()]);
    assert!(
        inventory.unresolved[0].why.contains("a secret of a key vault"),
        "{:?}",
        inventory.unresolved
    );
}

#[test]
fn copies_unroll_everywhere() {
    let template = json!({ "$schema": SCHEMA,
        "variables": { "copy": [ { "name": "ranges", "count": 2, "input": "[concat('10.', copyIndex('ranges', 1), '.0.0/16')]" } ] },
        "resources": [ {
            "type": "Microsoft.Network/virtualNetworks", "name": "[concat('v', copyIndex())]",
            "copy": { "name": "networks", "count": "[length(variables('ranges'))]" },
            "properties": {
                "addressSpace": { "addressPrefixes": [ "[variables('ranges')[copyIndex('networks')]]" ] },
                "copy": [ { "name": "subnets", "count": 3, "input": {
                    "name": "[format('s{0}', copyIndex('subnets'))]",
                    "properties": { "addressPrefix": "[cidrSubnet(variables('ranges')[copyIndex()], 24, copyIndex('subnets'))]" } } } ]
            } } ] });
    let inventory = read(&template).unwrap();
    assert_eq!(inventory.unresolved, []);
    let names = inventory.names();
    let found: Vec<_> = inventory
        .subnets
        .iter()
        .map(|subnet| format!("{} {}", names.of(&subnet.id), subnet.prefixes[0]))
        .collect();
    assert_eq!(
        found,
        [
            "v0/s0 10.1.0.0/24",
            "v0/s1 10.1.1.0/24",
            "v0/s2 10.1.2.0/24",
            "v1/s0 10.2.0.0/24",
            "v1/s1 10.2.1.0/24",
            "v1/s2 10.2.2.0/24",
        ]
    );
}

#[test]
fn conditions_leave_resources_out() {
    let with = |condition: Value| {
        let mut resource = network("v", "10.0.0.0/16");
        resource["condition"] = condition;
        read(&json!({ "$schema": SCHEMA, "parameters": { "b": { "type": "bool" } }, "resources": [resource] })).unwrap()
    };
    assert!(with(json!(false)).vnets.is_empty());
    assert!(with(json!("[equals(1, 2)]")).vnets.is_empty());
    assert_eq!(with(json!("[equals(1, 1)]")).vnets.len(), 1);
    // Not decided: the network stays, and the list says on what it hangs.
    let open = with(json!("[parameters('b')]"));
    assert_eq!(open.vnets.len(), 1);
    assert_eq!(open.unresolved[0].place.path, "resources[0].condition");
}

#[test]
fn parts_have_short_types() {
    let template = json!({ "$schema": SCHEMA, "resources": [ {
        "type": "Microsoft.Sql/servers", "name": "db", "properties": {}, "resources": [
            { "type": "firewallRules", "name": "all", "properties": { "startIpAddress": "1.1.1.1", "endIpAddress": "1.1.1.9" } },
            { "type": "virtualNetworkRules/", "name": "sub", "properties": { "virtualNetworkSubnetId":
                "[resourceId('Microsoft.Network/virtualNetworks/subnets/', 'v', 's')]" } } ] } ] });
    let inventory = read(&template).unwrap();
    assert_eq!(inventory.resources[0].ip_rules[0].to_string(), "1.1.1.1-1.1.1.9");
    let subnet = inventory.resources[0].subnet_rules[0].subnet.id().unwrap().to_string();
    assert_eq!(
        subnet,
        "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    );
    assert_eq!(inventory.unresolved, []);
}

#[test]
fn nested_templates_name_inner_or_outer() {
    let nested = |scope: &str| {
        let template = json!({ "$schema": SCHEMA, "variables": { "name": "outside" }, "resources": [ {
            "type": "Microsoft.Resources/deployments", "name": "d", "resourceGroup": "other",
            "properties": {
                "expressionEvaluationOptions": { "scope": scope },
                "parameters": { "range": { "value": "10.3.0.0/16" } },
                "template": { "$schema": SCHEMA, "variables": { "name": "inside" },
                    "parameters": { "range": { "type": "string", "defaultValue": "10.4.0.0/16" } },
                    "resources": [ network("[variables('name')]", "10.0.0.0/16") ] } } } ] });
        let inventory = read(&template).unwrap();
        inventory.vnets[0].id.to_string()
    };
    let start =
        "/subscriptions/sub/resourceGroups/other/providers/Microsoft.Network/virtualNetworks";
    assert_eq!(nested("inner"), format!("{start}/inside"));
    assert_eq!(nested("outer"), format!("{start}/outside"));
    // Outer is the default.
    assert_eq!(nested(""), format!("{start}/outside"));
}

#[test]
fn outputs_of_deployments_are_followed() {
    let template = json!({ "$schema": SCHEMA, "languageVersion": "2.0", "resources": {
        "net": { "type": "Microsoft.Resources/deployments", "name": "net", "properties": {
            "expressionEvaluationOptions": { "scope": "inner" },
            "parameters": { "ranges": { "copy": [ { "name": "value", "count": 1, "input": "10.5.0.0/16" } ] } },
            "template": { "$schema": SCHEMA, "parameters": { "ranges": { "type": "array" } },
                "resources": [ network("v", "[parameters('ranges')[0]]") ],
                "outputs": { "id": { "type": "string", "value": "[resourceId('Microsoft.Network/virtualNetworks', 'v')]" } } } } },
        "sub": { "type": "Microsoft.Resources/deployments", "name": "sub", "properties": {
            "expressionEvaluationOptions": { "scope": "inner" },
            "parameters": { "vnet": { "value": "[last(split(reference('net').outputs.id.value, '/'))]" } },
            "template": { "$schema": SCHEMA, "parameters": { "vnet": { "type": "string" } }, "resources": [ {
                "type": "Microsoft.Network/virtualNetworks/subnets", "name": "[format('{0}/{1}', parameters('vnet'), 'a')]",
                "properties": { "addressPrefix": "10.5.0.0/24" } } ] } } },
        "there": { "existing": true, "type": "Microsoft.Network/virtualNetworks", "name": "old" } } });
    let inventory = read(&template).unwrap();
    assert_eq!(inventory.vnets.len(), 1, "what exists is no part of the deployment");
    assert_eq!(inventory.names().of(&inventory.subnets[0].id), "v/a");
    assert_eq!(inventory.subnets[0].vnet, Link::To(inventory.vnets[0].id.clone()));
    assert_eq!(inventory.unresolved, []);
}

#[test]
fn missing_linked_template_is_reported() {
    let template = json!({ "$schema": SCHEMA, "resources": [
        { "type": "Microsoft.Resources/deployments", "name": "d", "properties": { "templateLink": { "uri": "https://x" } } },
        network("v", "10.0.0.0/16") ] });
    let inventory = read(&template).unwrap();
    assert_eq!(inventory.unresolved[0].place.path, "resources[0].properties.templateLink");
    assert_eq!(inventory.vnets.len(), 1);
}

/// The run-time case that matters: the appliance's address is not known, the route is.
#[test]
fn route_to_referenced_firewall_stays() {
    let template = json!({ "$schema": SCHEMA, "resources": [ {
        "type": "Microsoft.Network/routeTables", "name": "t", "properties": { "routes": [ { "name": "fw", "properties": {
            "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "[reference(resourceId('Microsoft.Network/azureFirewalls', 'fw')).ipConfigurations[0].properties.privateIPAddress]"
        } } ] } } ] });
    let inventory = read(&template).unwrap();
    assert_eq!(inventory.route_tables[0].routes[0].next_hop, RouteTarget::VirtualAppliance(vec![]));
    let open = &inventory.unresolved[0];
    assert_eq!(open.place.path, "resources[0].properties.routes[0].properties.nextHopIpAddress");
    assert!(open.why.starts_with("known only at run time: [reference("), "{}", open.why);
}

#[test]
fn unknown_name_spares_its_neighbours() {
    let template = json!({ "$schema": SCHEMA, "parameters": { "names": { "type": "object" } }, "resources": [ {
        "type": "Microsoft.Network/virtualNetworks", "name": "[parameters('names').vnet]", "properties": {
            "addressSpace": { "addressPrefixes": [ "10.0.0.0/16" ] }, "subnets": [
                { "name": "[parameters('names').a]", "properties": { "addressPrefix": "10.0.0.0/24" } },
                { "name": "b", "properties": { "addressPrefix": "10.0.1.0/24" } } ] } } ] });
    let inventory = read(&template).unwrap();
    let ranges: Vec<_> =
        inventory.subnets.iter().map(|subnet| subnet.prefixes[0].to_string()).collect();
    assert_eq!(ranges, ["10.0.0.0/24", "10.0.1.0/24"]);
    assert!(
        inventory
            .unresolved
            .iter()
            .any(|one| one.place.path == "resources[0].properties.subnets[0].name")
    );
}

#[test]
fn templates_without_end_are_refused() {
    let limits = |template: &Value| match read(template) {
        Err(ImportProblem::TooLarge { .. }) => true,
        Ok(inventory) => !inventory.unresolved.is_empty(),
        Err(other) => panic!("{other}"),
    };
    let mut resource = network("[concat('v', copyIndex())]", "10.0.0.0/16");
    resource["copy"] = json!({ "name": "c", "count": 1_000_000_000 });
    assert!(limits(&json!({ "$schema": SCHEMA, "resources": [resource] })));

    // Each variable holds the one before it twice: the text would have 2^60 letters.
    let mut variables = serde_json::Map::new();
    variables.insert("v0".to_owned(), json!("0123456789"));
    for place in 1..60 {
        let before = place - 1;
        variables.insert(
            format!("v{place}"),
            json!(format!("[concat(variables('v{before}'), variables('v{before}'))]")),
        );
    }
    assert!(limits(
        &json!({ "$schema": SCHEMA, "variables": variables, "resources": [network("[variables('v59')]", "10.0.0.0/16")] })
    ));

    // Loops in loops in loops.
    let mut value = json!("x");
    for _ in 0..8 {
        value = json!({ "copy": [ { "name": "a", "count": 1000, "input": value } ] });
    }
    let mut resource = network("v", "10.0.0.0/16");
    resource["properties"]["more"] = value;
    assert!(limits(&json!({ "$schema": SCHEMA, "resources": [resource] })));

    // A function that calls itself, and templates that hold themselves deep down.
    let own =
        json!([ { "namespace": "a", "members": { "f": { "output": { "value": "[a.f()]" } } } } ]);
    assert!(limits(
        &json!({ "$schema": SCHEMA, "functions": own, "resources": [network("[a.f()]", "10.0.0.0/16")] })
    ));
    let mut template = json!({ "resources": [network("v", "10.0.0.0/16")] });
    for _ in 0..40 {
        template = json!({ "resources": [ { "type": "Microsoft.Resources/deployments", "name": "d", "properties": { "template": template } } ] });
    }
    template["$schema"] = json!(SCHEMA);
    assert!(limits(&template));

    let deep = format!("[{}1{}]", "concat(".repeat(5_000), ")".repeat(5_000));
    assert!(limits(&json!({ "$schema": SCHEMA, "resources": [network(&deep, "10.0.0.0/16")] })));
}

#[test]
fn stand_ins_and_scope_are_assumed() {
    let mut importer = Importer::new();
    let template =
        json!({ "$schema": SCHEMA, "resources": [network("[uniqueString('a')]", "10.0.0.0/16")] });
    importer.read("t.json", template.to_string().as_bytes()).unwrap();
    let inventory = importer.inventory();
    let codes: Vec<_> = inventory.assumptions.iter().map(|one| one.code.clone()).collect();
    assert_eq!(codes, ["deployment-scope-unknown", "stand-in-values"]);
    assert_eq!(inventory.vnets[0].name.len(), 13);
}
