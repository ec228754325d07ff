//! The way back to Crossbar. What comes out was given to `crossbar check` and `crossbar start` of
//! 26.10.1, which took it; here is what these two looked at.

use serde_json::{Value, json};

use super::super::finding::Severity;
use super::super::keys::Section;
use super::super::reference::sections;
use super::{complete, draft, findings};

const PRINCIPALS: &str = "/workers/0/transports/0/paths/ws/auth/ticket/principals";

fn exported(tree: &Value, with_secrets: bool) -> (Value, Vec<String>) {
    let export = draft(tree, &[]).for_crossbar(with_secrets);
    (export.tree, export.lost)
}

fn says(lost: &[String], text: &str) {
    assert!(
        lost.iter().any(|line| line.contains(text)),
        "{text:?} in {lost:#?}"
    );
}

#[test]
fn a_store_becomes_the_one_that_crossbar_starts_with() {
    let (tree, lost) = exported(&complete(), false);
    assert_eq!(
        tree.pointer("/workers/0/realms/0/store").unwrap(),
        &json!({"type": "memory", "limit": 7, "event-history": [
            {"uri": "com.example.apps.", "match": "prefix"},
            {"uri": "com.example..created", "match": "wildcard", "limit": 9},
            {"uri": "com.example.demo"}]})
    );
    says(&lost, "realms[0].store: `sled` becomes `memory`");
    for key in ["path", "maxsize", "buffertime", "maxbuffer", "sync"] {
        says(&lost, &format!("realms[0].store.{key}: "));
    }
    let mut tree = complete();
    *tree
        .pointer_mut("/workers/0/realms/0/store/event-history/1")
        .unwrap() = json!({"uri": "com.example.old", "max-age": "1d"});
    let (tree, lost) = exported(&tree, false);
    says(&lost, "store.event-history[1].max-age: ");
    assert!(!tree.to_string().contains("max-age"));
    let mut tree = complete();
    tree["workers"][0]["realms"][0]["store"]
        .as_object_mut()
        .unwrap()
        .remove("limit");
    says(&exported(&tree, false).1, "keeps 100 events");
}

#[test]
fn keys_of_our_own_are_left_out_and_named() {
    let (tree, lost) = exported(&complete(), false);
    assert!(!tree.to_string().contains("\"rewamp\""));
    for path in [
        "rewamp.admin: ",
        "rewamp.loglevel: ",
        "realms[0].rewamp.outbox_bytes: ",
    ] {
        says(&lost, path);
    }
    let own = |section: &&&Section| section.title.ends_with("own keys");
    assert_eq!(
        sections().iter().filter(own).count(),
        2,
        "a third object of our own is to be left out"
    );
}

#[test]
fn literal_secrets_are_written_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from the file\n").unwrap();
    let mut tree = complete();
    tree.pointer_mut(PRINCIPALS)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .extend([
            (
                String::from("file"),
                json!({"ticket": {"file": file}, "role": "Backend"}),
            ),
            (
                String::from("variable"),
                json!({"ticket": "${TICKET}", "role": "Backend"}),
            ),
        ]);
    let ticket = |tree: &Value, who: &str| tree.pointer(PRINCIPALS).unwrap()[who]["ticket"].clone();

    let (masked, lost) = exported(&tree, false);
    assert_eq!(ticket(&masked, "Joe"), json!("***"));
    assert_eq!(ticket(&masked, "joe@example.com"), json!("***"));
    assert_eq!(ticket(&masked, "file"), json!("***"));
    assert_eq!(ticket(&masked, "variable"), json!("${TICKET}"));
    says(
        &lost,
        "principals[\"joe@example.com\"].ticket: only the first secret is kept",
    );
    says(&lost, "principals.file.ticket: Crossbar reads no files");

    let (open, _) = exported(&tree, true);
    assert_eq!(ticket(&open, "Joe"), json!("first"));
    assert_eq!(ticket(&open, "joe@example.com"), json!("new"));
    assert_eq!(ticket(&open, "file"), json!("from the file"));
    assert_eq!(ticket(&open, "variable"), json!("${TICKET}"));

    std::fs::remove_file(&file).unwrap();
    let (_, lost) = exported(&tree, true);
    says(&lost, "principals.file.ticket: file ");
}

#[test]
fn a_websocket_that_takes_pages_of_this_machine_only_stays_so() {
    let (tree, lost) = exported(&complete(), false);
    let options = |pointer: &str| tree.pointer(pointer).unwrap()["options"].clone();
    for pointer in [
        "/workers/0/transports/0/paths/deep/paths/er",
        "/workers/0/transports/2",
        "/workers/0/transports/3/websocket/ws",
        "/workers/0/transports/3/web/paths/~1",
    ] {
        let options = options(pointer);
        assert_eq!(
            options["allowed_origins"].as_array().unwrap().len(),
            6,
            "{pointer}"
        );
        assert_eq!(options["allow_null_origin"], json!(false), "{pointer}");
    }
    let listed = options("/workers/0/transports/0/paths/ws");
    assert_eq!(listed["allowed_origins"], json!(["https://*.example.com"]));
    assert_eq!(
        lost.iter()
            .filter(|line| line.contains("allowed_origins"))
            .count(),
        4
    );
}

#[test]
fn a_port_of_the_environment_is_spelt_as_crossbar_reads_it() {
    let mut tree = complete();
    *tree
        .pointer_mut("/workers/0/transports/2/endpoint/port")
        .unwrap() = json!("${PORT}");
    let (tree, _) = exported(&tree, false);
    assert_eq!(
        tree.pointer("/workers/0/transports/2/endpoint/port")
            .unwrap(),
        &json!("$PORT")
    );
}

#[test]
fn what_is_exported_is_a_configuration_that_we_take_as_well() {
    let (tree, _) = exported(&complete(), true);
    assert_eq!(findings(&tree).count(Severity::Fault), 0);
    let (again, lost) = exported(&tree, true);
    assert_eq!(again, tree);
    assert!(lost.is_empty(), "{lost:#?}");
}
