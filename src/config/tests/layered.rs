//! Which file is read, and what overrides it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use log::LevelFilter;
use serde_json::json;

use super::super::checked::{Config, Engine};
use super::super::file::{ReadError, Search};
use super::super::{Draft, Sources};
use super::{complete, draft};

const ONE_REALM: &str =
    r#"{"version": 2, "workers": [{"type": "router", "realms": [{"name": "NAME"}]}]}"#;

/// A working folder with files of one realm each, named after themselves.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(
            file,
            ONE_REALM.replace("NAME", name.trim_start_matches('.')),
        )
        .unwrap();
    }
    folder
}

fn found(
    folder: &tempfile::TempDir,
    config: Option<&str>,
    cbdir: Option<&str>,
) -> Result<Config, ReadError> {
    let search = Search {
        config: config.map(PathBuf::from),
        cbdir: cbdir.map(PathBuf::from),
        working_folder: folder.path().to_owned(),
    };
    let draft = Draft::read(&Sources {
        search,
        ..Sources::default()
    })?;
    Ok(draft.config().unwrap().0)
}

#[test]
fn the_file_is_looked_for_in_the_order_of_the_documentation() {
    let all = folder(&[
        "own.json",
        "dir/config.json",
        "dir/own2.json",
        ".crossbar/config.json",
        ".crossbar/config.yaml",
    ]);
    let check = |config, cbdir, name: &str, relative_to: &str| {
        let config = found(&all, config, cbdir).unwrap();
        assert_eq!(config.realms[0].name, name.trim_start_matches('.'));
        assert_eq!(config.folder, all.path().join(relative_to));
    };
    check(Some("own.json"), None, "own.json", "");
    check(Some("own.json"), Some("dir"), "own.json", "dir");
    check(Some("own2.json"), Some("dir"), "dir/own2.json", "dir");
    check(None, Some("dir"), "dir/config.json", "dir");
    check(None, Some("dir/own2.json"), "dir/own2.json", "dir");
    check(None, None, ".crossbar/config.yaml", ".crossbar");
}

#[test]
fn without_a_file_the_built_in_configuration_holds() {
    let empty = folder(&[]);
    let config = found(&empty, None, None).unwrap();
    assert_eq!(config.file, None);
    assert_eq!(config.realms[0].name, "realm1");
    let addresses: Vec<String> = config
        .transports
        .iter()
        .map(|transport| transport.endpoint.address.to_string())
        .collect();
    assert_eq!(addresses, ["127.0.0.1:8080", "127.0.0.1:8081"]);
    assert_eq!(config.admin.unwrap().address.to_string(), "127.0.0.1:8082");
    let store = config.realms[0].store.clone().unwrap();
    assert_eq!(store.maxsize, 1 << 30);
    let Engine::Sled { path, sync, .. } = store.engine else {
        panic!()
    };
    assert_eq!(
        (path, sync),
        (empty.path().join("rewamp-data/realm1"), true)
    );
}

#[test]
fn a_node_directory_without_a_file_is_an_error_and_not_the_built_in_configuration() {
    let empty = folder(&["dir/other.json"]);
    assert!(matches!(
        found(&empty, None, Some("dir")),
        Err(ReadError::NoFile { .. })
    ));
    assert!(matches!(
        found(&empty, None, Some("nowhere")),
        Err(ReadError::NoFile { .. })
    ));
    assert!(matches!(
        found(&empty, Some("nowhere.json"), None),
        Err(ReadError::Unreadable { .. })
    ));
    fs::create_dir(empty.path().join(".crossbar")).unwrap();
    assert!(matches!(
        found(&empty, None, None),
        Err(ReadError::NoFile { .. })
    ));
}

#[test]
fn a_file_that_is_no_json_or_yaml_says_where() {
    let check = |name: &str, text: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let error = found(&folder, Some(name), None).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        "a.json",
        "{\n  \"version\": 2,\n}",
        "a.json:3:1: trailing comma",
    );
    check("a.json", "", "a.json:1:1: EOF");
    check(
        "a.json",
        "{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2}}",
        "a.json:1:26: key `c` is there twice",
    );
    check("a.json", "{} x", "trailing characters");
    check("a.yaml", "a: [1, 2\nb: 3", "a.yaml: ");
    check("a.yaml", "a: 1\na: 2", "duplicate");
}

#[test]
fn yaml_and_json_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "\
version: 2
workers:
  - type: router
    realms: [{name: Realm.One, roles: [{name: anonymous}]}]
    transports:
      - type: rawsocket
        endpoint: {type: tcp, port: 18147}
        auth: {ticket: {type: static, principals: {Joe: {ticket: '0815', role: anonymous}}}}
";
    fs::write(folder.path().join("a.yml"), yaml).unwrap();
    let config = found(&folder, Some("a.yml"), None).unwrap();
    assert_eq!(config.realms[0].name, "Realm.One");
    let super::super::checked::Service::RawSocket(raw) = &config.transports[0].service else {
        panic!()
    };
    let principal = &raw.auth.ticket.as_ref().unwrap()[0];
    assert_eq!(
        (principal.authid.as_str(), principal.tickets[0].reveal()),
        ("Joe", "0815")
    );
}

#[test]
fn the_environment_overrides_the_file_and_the_command_line_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = complete();
    tree["rewamp"]["loglevel"] = json!("warn");
    fs::write(folder.path().join("a.json"), tree.to_string()).unwrap();
    let level = |environment: Option<&str>, command_line: Option<&str>| {
        let mut variables = HashMap::from([
            (
                String::from("REWAMP__REALMS__COM_EXAMPLE_REALM__STORE__MAXSIZE"),
                String::from("6000000"),
            ),
            (String::from("UNRELATED"), String::from("x")),
        ]);
        if let Some(level) = environment {
            variables.insert(String::from("REWAMP__LOGLEVEL"), level.to_owned());
        }
        let search = Search {
            config: Some(PathBuf::from("a.json")),
            working_folder: folder.path().to_owned(),
            ..Search::default()
        };
        let loglevel = command_line.map(str::to_owned);
        let draft = Draft::read(&Sources {
            search,
            environment: variables,
            loglevel,
        })
        .unwrap();
        let config = draft.config().unwrap().0;
        assert_eq!(config.realms[0].store.as_ref().unwrap().maxsize, 6_000_000);
        config.loglevel
    };
    assert_eq!(level(None, None), LevelFilter::Warn);
    assert_eq!(level(Some("debug"), None), LevelFilter::Debug);
    assert_eq!(level(Some("debug"), Some("none")), LevelFilter::Off);
}

#[test]
fn a_fault_of_a_variable_names_the_variable() {
    let text = |name, value| {
        let Err(found) = draft(&complete(), &[(name, value)]).config() else {
            panic!("{name}")
        };
        found.iter().next().unwrap().to_string()
    };
    let fault = text("REWAMP__REALMS__0__STORE__MAXSIZE", "1G");
    assert!(
        fault.starts_with("fault: workers[0].realms[0].store.maxsize: found text \"1G\""),
        "{fault}"
    );
    assert!(
        fault.ends_with("(set by REWAMP__REALMS__0__STORE__MAXSIZE)"),
        "{fault}"
    );
    let fault = text("REWAMP__REALMS__0__STOR__MAXSIZE", "1");
    assert!(
        fault.starts_with("fault: REWAMP__REALMS__0__STOR__MAXSIZE: "),
        "{fault}"
    );
}
