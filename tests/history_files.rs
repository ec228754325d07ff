//! `rewamp history`: what a node has stored, without the node: listed, read, written into files
//! that others read, and brought back from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::foreign;
use crate::harness::node::{self, Node, Ports};

const GET_EVENTS: &str = "wamp.subscription.get_events";
const LOOKUP: &str = "wamp.subscription.lookup";

/// Events of each topic.
const EVENTS: usize = 600;

fn store(path: &str) -> Value {
    json!({
        "type": "sled", "path": path, "maxsize": 24 << 20,
        "event-history": [
            {"uri": "com.shop.", "match": "prefix"},
            {"uri": "com..order", "match": "wildcard", "limit": 100}
        ]
    })
}

fn config(path: &str) -> impl Fn(&Ports) -> Value {
    let path = path.to_owned();
    move |ports| {
        node::config(
            ports,
            json!([node::open_realm(store(&path))]),
            &node::anonymous(),
        )
    }
}

fn rewamp(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rewamp"))
        .args(arguments)
        .env_remove("CROSSBAR_CONFIG")
        .env_remove("CROSSBAR_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// What the command prints, which it ends well with.
fn says(arguments: &[&str]) -> String {
    let output = rewamp(arguments);
    let said = String::from_utf8(output.stdout).expect("text");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}\n{error}");
    said
}

/// How the command fails: its exit code and what it says of it.
fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let output = rewamp(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect()
}

/// A node that has stored something and was stopped.
fn stopped_with_a_history() -> Node {
    let mut node = Node::start(config("history"));
    let mut client = Client::join(node.ports.raw).expect("a session");
    for number in 0..EVENTS {
        for topic in ["com.shop.order", "com.shop.basket", "com.cafe.order"] {
            let answer = client.publish(topic, &json!([number, {"of": topic}, null, 0.5]));
            assert_eq!(answer.expect("an answer")[0], code::PUBLISHED);
        }
    }
    let request = client.request();
    let options = json!({"acknowledge": true, "eligible_authrole": ["admin"]});
    let hidden = json!([
        code::PUBLISH,
        request,
        options,
        "com.shop.order",
        ["hidden"]
    ]);
    client.send(&hidden).expect("a connection");
    client.flush().expect("a connection");
    assert_eq!(client.receive().expect("an answer")[0], code::PUBLISHED);
    assert!(node.stop().success());
    node
}

/// What a client sees: the IDs of both histories, and all events.
fn seen(node: &Node) -> (Vec<Value>, Vec<Value>) {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let mut ids = Vec::new();
    let mut events = Vec::new();
    for (uri, policy) in [("com.shop.", "prefix"), ("com..order", "wildcard")] {
        let id = client.call(LOOKUP, json!([uri, {"match": policy}]), json!({}));
        ids.push(id.expect("an ID"));
        let page = client.call(GET_EVENTS, json!([ids.last()]), json!({"limit": 10_000}));
        events.extend(page.expect("a page").as_array().expect("a list").clone());
    }
    (ids, events)
}

/// Without what belongs to the store and not to the event.
fn without_ids(events: &[Value]) -> Vec<Value> {
    let stripped = events.iter().cloned().map(|mut event| {
        event.as_object_mut().expect("a map").remove("subscription");
        event
    });
    stripped.collect()
}

/// Every file below a folder with its content.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            found.insert(path.display().to_string(), bytes);
        }
    }
    found
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn a_history_goes_into_files_and_comes_back_from_them() {
    let mut node = stopped_with_a_history();
    let folder = node.dir().join("history");
    let before = content(&folder);
    let (shop, files) = (text(&folder), tempfile::tempdir().expect("a folder"));

    let [listed] = &lines(&says(&["history", "ls", "--json", "--store", shop]))[..] else {
        panic!("one store is listed");
    };
    // Both filters have `com.shop.order`, of which each event counts once.
    assert_eq!(listed["realm"], "realm1");
    assert_eq!(listed["filters"][0]["events"], 2 * EVENTS + 1);
    assert_eq!(listed["filters"][1]["events"], 100);
    assert_eq!(listed["lost"], json!([]));
    let human = says(&["history", "ls", "--store", shop]);
    assert!(human.contains("prefix `com.shop.`: 1201 events"), "{human}");

    let newest = says(&[
        "history",
        "get",
        "com.shop.order",
        "--limit",
        "2",
        "--reverse",
        "--store",
        shop,
    ]);
    let newest = lines(&newest);
    assert_eq!(newest[0]["args"], json!(["hidden"]));
    assert_eq!(newest[0]["eligible_authrole"], json!(["admin"]));
    assert_eq!(newest[1]["args"][0], EVENTS - 1);
    let of_a_user = says(&[
        "history",
        "get",
        "com.shop.order",
        "--limit",
        "1",
        "--reverse",
        "--authid",
        "joe",
        "--authrole",
        "user",
        "--store",
        shop,
    ]);
    assert_eq!(lines(&of_a_user)[0]["args"][0], EVENTS - 1);

    // The newest hundred orders are shared among both shops.
    let all = lines(&says(&["history", "export", "--store", shop]));
    assert_eq!(all.len(), 2 * EVENTS + 1 + 50);
    let sequences: Vec<_> = all.iter().map(|line| line["sequence"].as_u64()).collect();
    assert!(sequences.is_sorted());
    let later = says(&[
        "history",
        "export",
        "--store",
        shop,
        "--from-sequence",
        &all[700]["sequence"].to_string(),
    ]);
    assert_eq!(lines(&later), all[700..]);

    let (ndjson, parquet) = (
        files.path().join("e.ndjson"),
        files.path().join("e.parquet"),
    );
    for file in [&ndjson, &parquet] {
        says(&["history", "export", text(file), "--store", shop]);
        let (code, said) = fails(&["history", "export", text(file), "--store", shop]);
        assert!(
            code == Some(3) && said.contains("is there already"),
            "{said}"
        );
    }
    assert_eq!(content(&folder), before, "reading changes nothing");

    node.restart();
    let (_, expected) = seen(&node);
    node.stop();
    for (file, name) in [(&ndjson, "from_ndjson"), (&parquet, "from_parquet")] {
        // By the configuration that the node then starts with.
        node.configure(config(name));
        let configured = node.dir().join("config.json");
        assert!(configured.exists(), "the node's configuration");
        says(&[
            "history",
            "import",
            text(file),
            "--config",
            text(&configured),
        ]);
        node.restart();
        assert_eq!(
            without_ids(&seen(&node).1),
            without_ids(&expected),
            "{name}"
        );
        node.stop();
        let (code, said) = fails(&[
            "history",
            "import",
            text(file),
            "--config",
            text(&configured),
        ]);
        assert!(
            code == Some(3) && said.contains("is there already"),
            "{said}"
        );
    }
}

#[test]
fn a_converted_store_has_the_same_subscriptions_and_events() {
    let mut node = stopped_with_a_history();
    let old = node.dir().join("history");
    node.restart();
    let expected = seen(&node);
    node.stop();
    let mut source = old.clone();
    // There, to the rows of Crossbar's store, and back.
    for (number, kind) in ["sled", "cfxdb", "sled"].into_iter().enumerate() {
        let name = format!("converted_{number}");
        let target = node.dir().join(&name);
        let there = if number == 0 {
            content(&old)
        } else {
            BTreeMap::new()
        };
        let arguments = ["history", "convert", "--store", text(&source), "--to", kind];
        says(&[&arguments[..], &[text(&target)]].concat());
        if number == 0 {
            assert_eq!(content(&old), there, "a source does not change");
        }
        let whole = says(&["history", "verify", "--store", text(&target)]);
        assert!(
            whole.contains("1251 events of realm realm1: whole"),
            "{kind}: {whole}"
        );
        node.configure(|ports| {
            let mut store = store(&name);
            store["type"] = json!(kind);
            let realms = json!([node::open_realm(store)]);
            node::config(ports, realms, &node::anonymous())
        });
        node.restart();
        assert_eq!(seen(&node), expected, "{kind}");
        node.stop();
        source = target;
    }
}

#[test]
fn a_store_that_a_node_has_is_left_to_it() {
    let mut node = stopped_with_a_history();
    node.restart();
    let mut client = Client::join(node.ports.raw).expect("a session");
    client
        .publish("com.shop.order", &json!([1]))
        .expect("an answer");
    let folder = node.dir().join("history");
    for command in ["ls", "verify", "repair", "export"] {
        let (code, said) = fails(&["history", command, "--store", text(&folder)]);
        assert_eq!(code, Some(3), "{command}: {said}");
        assert!(said.contains("in use"), "{command}: {said}");
    }
}

#[test]
fn what_is_missing_is_named_and_a_repair_keeps_the_rest() {
    let mut node = stopped_with_a_history();
    let folder = node.dir().join("history");
    // What grew is sealed in the next life.
    node.restart();
    let sealed = within(SOON, "a sealed file", || {
        let mut names = fs::read_dir(&folder).expect("a folder");
        names.find_map(|entry| {
            let path = entry.expect("an entry").path();
            path.extension()
                .is_some_and(|end| end == "sealed")
                .then_some(path)
        })
    });
    assert!(node.stop().success());
    let mut bytes = fs::read(&sealed).expect("a file");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x55;
    fs::write(&sealed, bytes).expect("a file");
    let before = content(&folder);
    let verified = rewamp(&["history", "verify", "--store", text(&folder)]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(4), "{said}");
    assert!(
        said.contains("are missing") && said.contains("not whole"),
        "{said}"
    );
    assert_eq!(content(&folder), before, "a look changes nothing");

    let repaired = rewamp(&["history", "repair", "--store", text(&folder)]);
    assert!(
        matches!(repaired.status.code(), Some(0 | 4)),
        "{repaired:?}"
    );
    node.restart();
    let (_, events) = seen(&node);
    // One block of 8 KiB is what a flipped byte costs.
    assert!(events.len() > EVENTS, "{} events are left", events.len());
}

#[test]
fn an_import_that_is_cut_off_leaves_nothing_and_can_be_done_again() {
    let files = tempfile::tempdir().expect("a folder");
    let (file, target) = (files.path().join("e.ndjson"), files.path().join("store"));
    let line = |number: u64| {
        json!({
            "topic": "com.a", "publication": number, "sequence": number,
            "time_ns": 1_700_000_000_000_000_000_u64 + number, "args": ["x".repeat(200)]
        })
        .to_string()
    };
    let text_of: Vec<String> = (1..=60_000).map(line).collect();
    fs::write(&file, text_of.join("\n")).expect("a file");
    let arguments = [
        "history",
        "import",
        text(&file),
        "--store",
        text(&target),
        "--realm",
        "realm1",
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_rewamp"))
        .args(arguments)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let draft = files.path().join("store.draft");
    within(SOON, "a store in the making", || {
        draft.exists().then_some(())
    });
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    assert!(!target.exists());
    says(&arguments);
    assert!(!draft.exists());
    let whole = says(&["history", "verify", "--store", text(&target)]);
    assert!(
        whole.contains("60000 events of realm realm1: whole"),
        "{whole}"
    );
    // A file that is no good leaves nothing either.
    let (broken, other) = (files.path().join("b.ndjson"), files.path().join("other"));
    fs::write(&broken, format!("{}\n{{\"topic\": 3}}\n", text_of[0])).expect("a file");
    let (code, said) = fails(&[
        "history",
        "import",
        text(&broken),
        "--store",
        text(&other),
        "--realm",
        "realm1",
    ]);
    assert!(code == Some(3) && said.contains("line 2"), "{said}");
    assert!(!other.exists() && !files.path().join("other.draft").exists());
}

#[test]
fn pandas_and_duckdb_read_the_parquet() {
    let node = stopped_with_a_history();
    let folder = node.dir().join("history");
    let file = node.dir().join("events.parquet");
    says(&["history", "export", text(&file), "--store", text(&folder)]);
    let expected = json!({
        "com.cafe.order": 50, "com.shop.basket": EVENTS, "com.shop.order": EVENTS + 1
    });
    for program in [
        "examples/history_in_pandas.py",
        "examples/history_in_duckdb.py",
    ] {
        let told = foreign::tables(program, &[text(&file)]).succeeds();
        let counts = told.last().expect("a line of counts");
        assert_eq!(counts["events"], expected, "{program}");
        assert_eq!(
            counts["first_args"],
            json!([0, {"of": "com.shop.order"}, null, 0.5])
        );
        assert!(
            counts["seconds"].as_f64() > Some(0.0),
            "{program}: {counts}"
        );
    }
}

#[test]
fn an_import_asks_a_running_router_and_logs_in_as_it_is_asked_to() {
    let logins = [
        (
            json!({"anonymous": {"type": "static", "role": "anonymous"}}),
            None,
        ),
        (
            json!({"ticket": {"type": "static", "principals": {
                "joe": {"ticket": "secret!!!", "role": "anonymous"}
            }}}),
            Some("secret!!!"),
        ),
        (
            json!({"wampcra": {"type": "static", "users": {
                "joe": {"secret": "prq7+YkJ1/KlW1X0YczMHw==", "role": "anonymous"}
            }}}),
            Some("prq7+YkJ1/KlW1X0YczMHw=="),
        ),
        (
            json!({"wampcra": {"type": "static", "users": {
                "joe": {
                    "secret": "secret123", "role": "anonymous", "salt": "salt123",
                    "iterations": 100, "keylen": 16
                }
            }}}),
            Some("secret123"),
        ),
    ];
    for (auth, secret) in logins {
        let store = json!({
            "type": "memory", "limit": 1000,
            "event-history": [{"uri": "com.shop.", "match": "prefix"}, {"uri": "com.other"}]
        });
        let realms = json!([node::open_realm(store)]);
        let node = Node::start(|ports| {
            let mut config = node::config(ports, realms.clone(), &node::anonymous());
            config["workers"][0]["transports"][0]["paths"]["ws"]["auth"] = auth.clone();
            config
        });
        let mut client = Client::join(node.ports.raw).expect("a session");
        let publications: Vec<Value> = (0..20)
            .map(|number| {
                let topic = ["com.shop.order", "com.other"][number % 2];
                let answer = client.publish(topic, &json!([number, "\u{0}AP8="]));
                answer.expect("an answer")[2].clone()
            })
            .collect();
        let files = tempfile::tempdir().expect("a folder");
        let (topics, target) = (files.path().join("topics"), files.path().join("store"));
        fs::write(&topics, "# what is kept\nprefix:com.shop.\n\ncom.other\n").expect("a file");
        let import = |realm: &str, authid: Option<&str>, secret: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rewamp"));
            command.args(["history", "import", "--from", &node.ws(), "--realm", realm]);
            command.args(["--topics", text(&topics), "--store", text(&target)]);
            command.args(authid.map_or(vec![], |authid| vec!["--authid", authid]));
            command.env("REWAMP_SECRET", secret);
            command.output().expect("the program runs")
        };
        let authid = secret.map(|_| "joe");
        let refused = import("realm9", authid, secret.unwrap_or_default());
        assert_eq!(refused.status.code(), Some(3), "{refused:?}");
        if secret.is_some() {
            for (authid, secret) in [(None, ""), (authid, "wrong")] {
                let refused = import("realm1", authid, secret);
                let said = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert_eq!(refused.status.code(), Some(3), "{said}");
                assert!(said.contains("the router refuses"), "{said}");
            }
        }
        assert!(!target.exists());
        let done = import("realm1", authid, secret.unwrap_or_default());
        assert!(done.status.success(), "{done:?}");
        let all = lines(&says(&["history", "export", "--store", text(&target)]));
        let ids: Vec<_> = all.iter().map(|line| line["publication"].clone()).collect();
        assert_eq!(ids, publications);
        assert_eq!(all[7]["args"], json!([7, "\u{0}AP8="]));
    }
}

#[test]
fn two_routers_are_compared_as_their_clients_see_them() {
    let all = |_: &Ports| {
        json!([node::open_realm(
            json!({"type": "memory", "event-history": []})
        )])
    };
    let mut closed = node::open_realm(json!({"type": "memory", "event-history": []}));
    let secret = json!({
        "uri": "com.secret.", "match": "prefix",
        "allow": {"call": false, "register": false, "publish": true, "subscribe": false}
    });
    let permissions = closed["roles"][0]["permissions"].as_array_mut();
    permissions.expect("a list").push(secret);
    let old = Node::start(|ports| node::config(ports, all(ports), &node::anonymous()));
    let new = Node::start(|ports| node::config(ports, json!([closed]), &node::anonymous()));
    let files = tempfile::tempdir().expect("a folder");
    let topics = files.path().join("topics");
    fs::write(&topics, "prefix:com.shop.\nprefix:com.secret.\n").expect("a file");
    let (out, err) = (files.path().join("out"), files.path().join("err"));
    let mut compare = Command::new(env!("CARGO_BIN_EXE_rewamp"))
        .args(["history", "compare", &old.ws(), &new.ws()])
        .args(["--topics", text(&topics), "--for", "12s"])
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(fs::File::create(&err).expect("a file"))
        .spawn()
        .expect("the program runs");
    within(SOON, "both routers are listened to", || {
        let said = fs::read_to_string(&err).expect("a file");
        said.contains("both are listened to").then_some(())
    });
    let publish = |node: &Node, numbers: &[u64]| -> Vec<u64> {
        let mut client = Client::join(node.ports.raw).expect("a session");
        let publications = numbers.iter().map(|number| {
            let answer = client.publish("com.shop.order", &json!([number, {"of": 0.5}]));
            answer.expect("an answer")[2].as_u64().expect("an ID")
        });
        publications.collect()
    };
    let sent = publish(&old, &[1, 2, 3, 4, 5, 6, 7]);
    let answered = publish(&new, &[1, 2, 4, 3, 5, 9, 7]);
    let status = within(SOON, "the end", || {
        compare.try_wait().expect("it is our child")
    });
    let said = fs::read_to_string(&out).expect("a file");
    assert_eq!(status.code(), Some(4), "{said}");
    for line in [
        "authorised differently: prefix `com.secret.`: allowed by the old router, \
         refused with wamp.error.not_authorized by the new one"
            .to_owned(),
        format!("publication {} to `com.shop.order`: reordered", answered[3]),
        format!("publication {} to `com.shop.order`: missing", sent[5]),
        format!("publication {} to `com.shop.order`: extra", answered[5]),
    ] {
        assert!(said.contains(&line), "{line}\n{said}");
    }
    assert!(said.contains("6 events were the same"), "{said}");
}

#[test]
fn a_cfxdb_store_is_read_while_a_node_writes_to_it() {
    let node = Node::start(|ports| {
        let mut store = store("crossbars");
        store["type"] = json!("cfxdb");
        let realms = json!([node::open_realm(store)]);
        node::config(ports, realms, &node::anonymous())
    });
    let folder = node.dir().join("crossbars");
    let mut client = Client::join(node.ports.raw).expect("a session");
    for number in 1..=5 {
        let answer = client.publish("com.shop.order", &json!([number]));
        assert_eq!(answer.expect("an answer")[0], code::PUBLISHED);
        let all = lines(&says(&["history", "export", "--store", text(&folder)]));
        let numbers: Vec<_> = all.iter().map(|line| line["args"][0].as_i64()).collect();
        assert_eq!(numbers, (1..=number).map(Some).collect::<Vec<_>>());
    }
    let listed = says(&["history", "ls", "--store", text(&folder)]);
    assert!(listed.contains("5 events"), "{listed}");
    let whole = says(&["history", "verify", "--store", text(&folder)]);
    assert!(whole.contains("5 events of realm realm1: whole"), "{whole}");
    assert_eq!(
        client
            .publish("com.shop.order", &json!([6]))
            .expect("an answer")[0],
        code::PUBLISHED
    );
}
