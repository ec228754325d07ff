//! Whatever stands in a file: it is named or it is taken, and nothing panics.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::finding::Severity;
use super::super::reference::sections;
use super::{complete, draft};

fn known_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = sections()
        .iter()
        .flat_map(|section| section.keys.iter().map(|key| key.name))
        .collect();
    names.extend(["type", "ws", "/", "joe", "", "a.b[0]"]);
    names
}

fn scalar() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "router",
        "tcp",
        "unix",
        "sled",
        "memory",
        "cfxdb",
        "web",
        "websocket",
        "rawsocket",
        "universal",
        "path",
        "static",
        "dynamic",
        "exact",
        "prefix",
        "wildcard",
        "realm1",
        "anonymous",
        "com.example.",
        "a..b",
        "${HOME}",
        "$X",
        "${}",
        "***",
        "\u{0}é",
        "disconnect",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..70_000_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(known_names()), inner), 0..6).prop_map(
                |entries| Value::Object(
                    entries
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect::<Map<_, _>>()
                )
            ),
        ]
    })
}

/// Every place in a tree.
fn pointers(tree: &Value, at: String, into: &mut Vec<String>) {
    match tree {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, format!("{at}/{key}"), into);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, format!("{at}/{index}"), into);
            }
        }
        _ => {}
    }
    into.push(at);
}

/// No panic, and what `check` lets pass is a configuration.
fn holds(tree: &Value) {
    let draft = draft(
        tree,
        &[
            ("HOME", "/root"),
            ("X", "80"),
            ("REWAMP__REALMS__0__NAME", "x"),
        ],
    );
    let stops = draft.check(Severity::Fault).stop();
    let config = draft.config();
    assert_eq!(config.is_err(), stops, "{config:#?} of {tree}");
    let _ = draft.effective();
    let _ = draft.for_crossbar(true);
    let _ = draft.for_crossbar(false);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_checked_without_a_panic(tree in anything()) {
        holds(&tree);
        holds(&json!({"version": 2, "workers": [{"type": "router", "realms": tree.clone(), "transports": tree}]}));
    }

    #[test]
    fn any_change_to_a_good_configuration_is_named_or_taken(
        place in any::<prop::sample::Index>(),
        value in anything(),
        second in any::<prop::sample::Index>(),
    ) {
        let mut tree = complete();
        for (place, value) in [(place, value), (second, json!({}))] {
            let mut all = Vec::new();
            pointers(&tree, String::new(), &mut all);
            *tree.pointer_mut(place.get(&all[..]).as_str()).unwrap() = value;
            holds(&tree);
        }
    }
}
