//! Crossbar's page on event history, taken at its word: its three `store` objects and its
//! permissions are set unchanged into a node configuration, its JavaScript is run.
//! The objects are `tests/config/crossbar_page/`, the JavaScript is in
//! `tests/clients/autobahn_js/history.js`.

use serde_json::{Value, json};

use crate::foreign_clients::{Client, every_way};
use crate::harness::foreign;
use crate::harness::node::{self, Node, Ports};

const MEMORY_STORE: &str = include_str!("config/crossbar_page/memory_store.json");
const CFXDB_STORE: &str = include_str!("config/crossbar_page/cfxdb_store.json");
const CFXDB_STORE_WITH_ALL_KEYS: &str =
    include_str!("config/crossbar_page/cfxdb_store_with_all_keys.json");
const ROLE: &str = include_str!("config/crossbar_page/role.json");

#[test]
fn the_pages_javascript_reads_the_pages_memory_store() {
    let node = node_with_the_pages_store();
    every_way(Client::AutobahnJs, "history", &node);
    every_way(Client::Wampy, "history", &node);
    let crossbars_part = [
        node.ws(),
        "realm1".to_owned(),
        "cbor".to_owned(),
        "crossbar".to_owned(),
    ];
    let arguments: Vec<&str> = crossbars_part.iter().map(String::as_str).collect();
    foreign::python("tests/clients/autobahn_python/history.py", &arguments).succeeds();
}

#[test]
fn autobahn_js_may_do_what_the_page_allows() {
    every_way(
        Client::AutobahnJs,
        "permissions",
        &node_with_the_pages_role(),
    );
}

#[test]
fn autobahn_python_may_do_what_the_page_allows() {
    every_way(
        Client::AutobahnPython,
        "permissions",
        &node_with_the_pages_role(),
    );
}

#[test]
fn wampy_may_do_what_the_page_allows() {
    every_way(Client::Wampy, "permissions", &node_with_the_pages_role());
}

#[test]
fn check_passes_the_pages_memory_store() {
    let checked = node::check(&with_store(&NO_PORTS, MEMORY_STORE));
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn check_passes_the_pages_cfxdb_stores() {
    for store in [CFXDB_STORE, CFXDB_STORE_WITH_ALL_KEYS] {
        let checked = node::check(&with_store(&NO_PORTS, store));
        assert!(checked.status.success(), "{}", said(&checked));
    }
}

const NO_PORTS: Ports = Ports {
    ws: 8080,
    raw: 8081,
    admin: 8082,
};

fn with_store(ports: &Ports, store: &str) -> Value {
    let store = serde_json::from_str(store).expect("the page's JSON");
    node::config(ports, json!([node::open_realm(store)]), &node::anonymous())
}

fn node_with_the_pages_store() -> Node {
    Node::start(|ports| with_store(ports, MEMORY_STORE))
}

/// The page's role beside one that may ask for the past but not subscribe.
fn node_with_the_pages_role() -> Node {
    let role: Value = serde_json::from_str(ROLE).expect("the page's JSON");
    let blind = json!({"name": "blind", "permissions": [role["permissions"][1]]});
    let auth = json!({
        "anonymous": {"type": "static", "role": "anonymous"},
        "ticket": {"type": "static", "principals": {
            "blind": {"ticket": "no-eyes", "role": "blind"}}}
    });
    Node::start(|ports| {
        let mut config = with_store(ports, MEMORY_STORE);
        config["workers"][0]["realms"][0]["roles"] = json!([role, blind]);
        for transport in config["workers"][0]["transports"]
            .as_array_mut()
            .expect("a list")
        {
            let slot = match transport["type"].as_str() {
                Some("web") => &mut transport["paths"]["ws"]["auth"],
                _ => &mut transport["auth"],
            };
            *slot = auth.clone();
        }
        config
    })
}

fn said(output: &std::process::Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
