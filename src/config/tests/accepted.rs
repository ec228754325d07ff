//! What configurations become.

use std::path::PathBuf;
use std::time::Duration;

use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::{MatchPolicy, UriCheck};
use serde_json::{Value, json};

use super::super::checked::{
    Address, Buffer, CraUser, Derivation, Engine, PathService, Secret, Service, SlowConsumer,
};
use super::super::finding::Severity;
use super::super::origin::Pages;
use super::{complete, config, draft, findings};

#[test]
fn a_complete_configuration_arrives_as_it_was_written() {
    let config = config(&complete());
    assert_eq!(config.loglevel, log::LevelFilter::Warn);
    assert_eq!(config.realm_arbiters, 2);
    assert_eq!(config.open_stores, 40);
    assert_eq!(config.store_idle, Duration::from_secs(77));
    let admin = config.admin.unwrap();
    assert_eq!(admin.address.to_string(), "127.0.0.1:18142");
    assert_eq!(admin.place.variable, "REWAMP__ADMIN__PORT");

    let realm = &config.realms[0];
    assert_eq!(
        (realm.name.as_str(), realm.uri_check),
        ("com.example.realm", UriCheck::Strict)
    );
    assert_eq!((realm.outbox.bytes, realm.outbox.messages), (65_536, 16));
    assert_eq!(realm.outbox.slow_consumer, SlowConsumer::Drop);
    let permission = &realm.roles[0].permissions[0];
    assert_eq!(permission.match_policy, Some(MatchPolicy::Prefix));
    assert!(permission.allow.call && permission.allow.publish && permission.cache);
    assert!(!permission.allow.register && !permission.allow.subscribe);
    assert!(permission.disclose.publisher && !permission.disclose.caller);
    assert_eq!(realm.roles[0].permissions[1].match_policy, None);

    let store = realm.store.as_ref().unwrap();
    let buffer = Buffer {
        time: Duration::from_millis(300),
        events: 100,
        bytes: 65_536,
    };
    let path = PathBuf::from("/etc/rewamp/../data");
    assert_eq!(
        store.engine,
        Engine::Sled {
            path,
            buffer,
            sync: true,
            readonly: false,
        }
    );
    assert_eq!((store.maxsize, store.limit), (5_242_880, Some(7)));
    let filters: Vec<_> = store
        .filters
        .iter()
        .map(|f| (f.uri.as_str(), f.match_policy, f.limit))
        .collect();
    assert_eq!(
        filters,
        [
            ("com.example.apps.", MatchPolicy::Prefix, None),
            ("com.example..created", MatchPolicy::Wildcard, Some(9)),
            ("com.example.demo", MatchPolicy::Exact, None),
        ]
    );
    let at = "/realms/0/store/event-history/0/limit-per-topic";
    let tree = super::change::changed(at, json!(5));
    let filter = super::config(&tree).realms[0]
        .store
        .as_ref()
        .unwrap()
        .filters[0]
        .clone();
    assert_eq!((filter.limit_per_topic, filter.limit), (Some(5), None));
    assert_eq!(store.filters[0].limit_per_topic, None);
    let refuses = |full: &str| {
        let tree = super::change::changed("/realms/0/store/full", json!(full));
        super::config(&tree).realms[0]
            .store
            .as_ref()
            .unwrap()
            .refuses
    };
    assert!(!store.refuses && !refuses("drop-oldest") && refuses("refuse"));
    let aged = |age: Value| {
        let tree = super::change::changed("/realms/0/store/event-history/0/max-age", age);
        super::config(&tree).realms[0]
            .store
            .as_ref()
            .unwrap()
            .filters[0]
            .max_age
    };
    assert_eq!(store.filters[0].max_age, None);
    assert_eq!(aged(json!(90)), Some(Duration::from_secs(90)));
    assert_eq!(aged(json!("7d")), Some(Duration::from_secs(604_800)));
    let memory = config.realms[1].store.as_ref().unwrap();
    assert_eq!(
        (&memory.engine, memory.maxsize, memory.limit),
        (&Engine::Memory, 268_435_456, Some(100))
    );
}

#[test]
fn transports_arrive_with_their_addresses_and_paths() {
    let config = config(&complete());
    let addresses: Vec<String> = config
        .transports
        .iter()
        .map(|transport| transport.endpoint.address.to_string())
        .collect();
    assert_eq!(
        addresses,
        [
            "127.0.0.1:18140",
            "/etc/rewamp/../raw.sock",
            "[::]:18141",
            "[::1]:18140"
        ]
    );
    assert_eq!(config.transports[0].id, "main");
    assert_eq!(config.transports[1].id, "workers[0].transports[1]");
    assert_eq!(config.transports[0].realms, ["com.example.realm", "second"]);
    assert_eq!(
        config.transports[2].endpoint.place.variable,
        "REWAMP__TRANSPORTS__2__ENDPOINT__PORT"
    );

    let Service::Web(web) = &config.transports[0].service else {
        panic!()
    };
    assert_eq!(
        web.client_timeout,
        Some(Duration::from_secs(5)),
        "the handshake of its WebSockets has a limit"
    );
    let paths: Vec<&str> = web.paths.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/deep/er", "/ws"]);
    let PathService::WebSocket(websocket) = &web.paths[1].1 else {
        panic!()
    };
    assert_eq!(websocket.serializers, [Serializer::Json, Serializer::Cbor]);
    assert_eq!(
        (websocket.max_message_size, websocket.max_frame_size),
        (1_048_576, 1_048_576)
    );
    assert_eq!(websocket.auto_ping_interval, Some(Duration::from_secs(10)));
    assert_eq!(
        websocket.open_handshake_timeout,
        Some(Duration::from_secs(5))
    );
    assert_eq!(
        websocket.origins.pages,
        Pages::Listed(vec![String::from("https://*.example.com")])
    );
    assert!(
        websocket.origins.null,
        "as at Crossbar, listing origins lets `null` in"
    );

    let Service::RawSocket(rawsocket) = &config.transports[1].service else {
        panic!()
    };
    assert_eq!(rawsocket.max_message_size, 512);
    let Service::Universal(rawsocket, universal) = &config.transports[3].service else {
        panic!()
    };
    assert_eq!(rawsocket.max_message_size, 1024);
    let paths: Vec<&str> = universal
        .paths
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(paths, ["/", "/ws"]);
}

#[test]
fn logins_keep_the_case_and_the_characters_of_their_names() {
    let config = config(&complete());
    let Service::Web(web) = &config.transports[0].service else {
        panic!()
    };
    let PathService::WebSocket(websocket) = &web.paths[1].1 else {
        panic!()
    };
    let auth = &websocket.auth;
    let anonymous = auth.anonymous.as_ref().unwrap();
    assert_eq!(anonymous.realm.as_deref(), Some("com.example.realm"));
    assert_eq!(anonymous.authid.as_deref(), Some("guest"));
    let tickets = auth.ticket.as_ref().unwrap();
    assert_eq!(tickets[0].authid, "Joe");
    assert_eq!(tickets[1].authid, "joe@example.com");
    assert_eq!(
        tickets[1].tickets,
        ["new", "old"].map(|ticket| Secret::new(ticket.to_owned()))
    );
    assert_eq!(format!("{:?}", tickets[0].tickets), "[Secret(***)]");
    assert_eq!(
        auth.wampcra.as_ref().unwrap()[1],
        CraUser {
            authid: String::from("salted"),
            secrets: vec![Secret::new(String::from("s2"))],
            role: String::from("Backend"),
            derivation: Some(Derivation {
                salt: String::from("pepper"),
                iterations: 2000,
                keylen: 16,
            }),
        }
    );
    assert_eq!(auth.wampcra.as_ref().unwrap()[0].derivation, None);
}

#[test]
fn a_transport_without_auth_takes_anybody_as_anonymous_and_pages_of_this_machine() {
    let config = config(&complete());
    let Service::WebSocket(websocket) = &config.transports[2].service else {
        panic!()
    };
    assert_eq!(websocket.auth.anonymous.as_ref().unwrap().role, "anonymous");
    assert!(websocket.auth.ticket.is_none() && websocket.auth.wampcra.is_none());
    assert_eq!(
        (&websocket.origins.pages, websocket.origins.null),
        (&Pages::Loopback, false)
    );
    assert_eq!(
        (websocket.max_message_size, websocket.max_frame_size),
        (16_777_216, 16_777_216)
    );
    assert_eq!(websocket.serializers.len(), 3);
}

#[test]
fn what_crossbar_init_writes_starts_with_warnings_only() {
    let tree: Value = serde_json::from_str(include_str!("../fixtures/crossbar-init.json")).unwrap();
    let found = findings(&tree);
    assert_eq!(found.count(Severity::Fault), 0, "{found:#?}");
    assert!(found.count(Severity::Warning) > 0);
    let config = config(&tree);
    let addresses: Vec<String> = config
        .transports
        .iter()
        .map(|transport| transport.endpoint.address.to_string())
        .collect();
    assert_eq!(addresses, ["0.0.0.0:8081", "0.0.0.0:8080"]);
    let Service::Web(web) = &config.transports[1].service else {
        panic!()
    };
    let kinds: Vec<_> = web
        .paths
        .iter()
        .map(|(path, service)| match service {
            PathService::WebSocket(_) => (path.as_str(), "websocket"),
            PathService::NotBuilt(kind) => (path.as_str(), kind.as_str()),
        })
        .collect();
    assert_eq!(
        kinds,
        [("/", "static"), ("/info", "nodeinfo"), ("/ws", "websocket")]
    );
    assert!(
        config.admin.is_none(),
        "a file that says nothing of it has no admin listener"
    );
}

/// The three stores of Crossbar's page on event history, each set into a node configuration.
#[test]
fn the_stores_of_crossbars_page_are_taken_as_far_as_they_are_built() {
    let with = |store: Value| {
        let mut tree: Value =
            serde_json::from_str(include_str!("../fixtures/crossbar-init.json")).unwrap();
        tree["workers"][0]["realms"][0]["store"] = store;
        tree
    };
    let memory = json!({"type": "memory", "limit": 100, "event-history": [
        {"uri": "com.example.oncounter", "match": "exact", "limit": 1000}]});
    let store = config(&with(memory)).realms[0].store.clone().unwrap();
    assert_eq!(
        (store.limit, store.filters[0].limit),
        (Some(100), Some(1000))
    );

    let cfxdb = json!({"type": "cfxdb", "path": "../exampledb", "maxsize": 5_242_880,
        "maxbuffer": 100, "buffertime": 200, "readonly": false, "sync": true, "event-history": [
            {"uri": "com.example.apps.", "match": "prefix"},
            {"uri": "com.example.demo.", "match": "prefix"}]});
    let buffer = Buffer {
        time: Duration::from_millis(200),
        events: 100,
        bytes: 67_108_864,
    };
    let path = PathBuf::from("/etc/rewamp/../exampledb");
    let store = config(&with(cfxdb.clone())).realms[0]
        .store
        .clone()
        .unwrap();
    let expected = Engine::Cfxdb {
        path: path.clone(),
        buffer,
        sync: true,
        readonly: false,
        mode: 0o640,
    };
    assert_eq!((store.engine, store.maxsize), (expected, 5_242_880));
    let mut smallest = cfxdb.clone();
    smallest["maxsize"] = json!(131_072);
    smallest["file-mode"] = json!("0644");
    let store = config(&with(smallest)).realms[0].store.clone().unwrap();
    assert!(matches!(store.engine, Engine::Cfxdb { mode: 0o644, .. }));

    let mut sled = cfxdb;
    sled["type"] = json!("sled");
    let store = config(&with(sled)).realms[0].store.clone().unwrap();
    assert_eq!(
        store.engine,
        Engine::Sled {
            path,
            buffer,
            sync: true,
            readonly: false,
        }
    );
}

#[test]
fn a_router_section_alone_is_a_configuration() {
    let mut section = complete()["workers"][0].take();
    section["rewamp"] = json!({"loglevel": "error"});
    for kind in [Some(json!("router")), None] {
        match &kind {
            Some(kind) => section["type"] = kind.clone(),
            None => {
                section.as_object_mut().unwrap().remove("type");
            }
        }
        let config = config(&section);
        assert_eq!(config.realms.len(), 2);
        assert_eq!(config.loglevel, log::LevelFilter::Error);
    }
    section["realms"][0]["store"]["limit"] = json!(0);
    section["realms"][1]["name"] = json!("com.example.realm");
    let text: Vec<String> = findings(&section).iter().map(ToString::to_string).collect();
    assert!(
        text[0].starts_with("fault: realms[0].store.limit: "),
        "{text:#?}"
    );
    assert!(
        text.iter()
            .any(|line| line.contains("is also at realms[0];")),
        "{text:#?}"
    );
}

#[test]
fn the_spellings_of_crossbars_code_mean_the_same_as_those_of_its_page() {
    let mut tree = complete();
    let store = tree
        .pointer_mut("/workers/0/realms/0/store")
        .unwrap()
        .as_object_mut()
        .unwrap();
    store.remove("buffertime");
    store.remove("maxbuffer");
    store.insert(String::from("buffer-flush"), json!(8000));
    store.insert(String::from("max-buffer"), json!(5));
    let Engine::Sled { buffer, .. } = config(&tree).realms[0].store.clone().unwrap().engine else {
        panic!()
    };
    assert_eq!((buffer.time, buffer.events), (Duration::from_secs(8), 5));
}

#[test]
fn what_is_no_object_is_no_configuration() {
    for tree in [json!([]), json!(null), json!("x"), json!(5)] {
        assert!(findings(&tree).stop(), "{tree}");
    }
    assert!(findings(&json!({})).stop());
}

#[test]
fn secrets_and_ports_come_from_the_environment_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from the file\n").unwrap();
    let mut tree = complete();
    let principals = "/workers/0/transports/0/paths/ws/auth/ticket/principals";
    *tree
        .pointer_mut(&format!("{principals}/Joe/ticket"))
        .unwrap() = json!(["${TICKET}", {"file": file}]);
    *tree
        .pointer_mut("/workers/0/transports/2/endpoint/port")
        .unwrap() = json!("$PORT");
    *tree
        .pointer_mut("/workers/0/transports/0/endpoint/port")
        .unwrap() = json!("${OTHER}");
    let variables = [
        ("TICKET", "from the environment"),
        ("PORT", "18145"),
        ("OTHER", "18146"),
    ];
    let (config, _) = draft(&tree, &variables).config().unwrap();
    let Service::Web(web) = &config.transports[0].service else {
        panic!()
    };
    let PathService::WebSocket(websocket) = &web.paths[1].1 else {
        panic!()
    };
    let tickets: Vec<&str> = websocket.auth.ticket.as_ref().unwrap()[0]
        .tickets
        .iter()
        .map(Secret::reveal)
        .collect();
    assert_eq!(tickets, ["from the environment", "from the file"]);
    assert_eq!(
        config.transports[2].endpoint.address,
        Address::Tcp {
            interface: String::from("::"),
            port: 18145
        }
    );

    let draft = draft(&tree, &[("PORT", "0")]);
    let missing = draft.check(Severity::Warning);
    assert_eq!(missing.count(Severity::Warning), 3, "{missing:#?}");
    assert_eq!(draft.check(Severity::Fault).count(Severity::Fault), 3);
}

#[test]
fn a_printed_configuration_shows_no_secret_and_reads_as_the_same() {
    let mut tree = complete();
    tree["workers"][0]["manhole"] = json!({"users": [{"user": "u", "password": "hidden"}]});
    let principals = "/workers/0/transports/0/paths/ws/auth/ticket/principals";
    *tree
        .pointer_mut(&format!("{principals}/Joe/ticket"))
        .unwrap() = json!("${TICKET}");
    let printed = draft(&tree, &[("TICKET", "t")]).effective();
    let text = printed.to_string();
    for secret in ["\"new\"", "\"old\"", "\"s1\"", "\"s2\"", "hidden"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains("${TICKET}"));
    assert!(
        findings(&printed)
            .iter()
            .any(|finding| finding.text.contains("the secret itself"))
    );
}
