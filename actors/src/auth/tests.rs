//! The way from HELLO to an identity, over all methods.

use std::collections::BTreeMap;

use super::*;

const NOW: u64 = 1_403_455_085_448_000_000;

fn secrets(text: &str) -> Secrets {
    Secrets::one(Secret::new(text).unwrap())
}

fn ticket() -> TicketConfig {
    let principal = TicketPrincipal {
        tickets: secrets("open sesame"),
        role: "frontend".into(),
    };
    TicketConfig {
        principals: BTreeMap::from([("joe".to_owned(), principal)]),
    }
}

fn wampcra() -> CraConfig {
    let user = CraUser {
        secrets: secrets("rosebud"),
        role: "backend".into(),
        salting: None,
    };
    CraConfig {
        users: BTreeMap::from([("peter".to_owned(), user)]),
    }
}

fn everything() -> AuthConfig {
    AuthConfig {
        anonymous: Some(AnonymousConfig::role("guest")),
        ticket: Some(ticket()),
        wampcra: Some(wampcra()),
    }
}

fn hello(config: AuthConfig, authmethods: &[&str], authid: Option<&str>) -> Verdict {
    let methods: Vec<ByteString> = authmethods.iter().map(|&name| name.into()).collect();
    let session = SessionId::new(7).unwrap();
    Authenticators::prepare(config, &DecoyKey::from_bytes([1; 32]))
        .hello(&methods, authid, session, NOW)
}

fn challenged(verdict: Verdict) -> (AuthMethod, Dict, PendingChallenge) {
    match verdict {
        Verdict::Challenge {
            method,
            extra,
            pending,
        } => (method, extra, pending),
        other => panic!("not challenged: {other:?}"),
    }
}

fn rejected(verdict: Verdict) -> AuthError {
    match verdict {
        Verdict::Reject(error) => error,
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn the_first_of_the_clients_methods_that_is_there_is_taken() {
    let taken =
        |config: AuthConfig, authmethods: &[&str]| match hello(config, authmethods, Some("joe")) {
            Verdict::Accept(identity) => Some(identity.method),
            Verdict::Challenge { method, .. } => Some(method),
            Verdict::Reject(_) => None,
        };
    let (anonymous, ticket, wampcra) = (
        Some(AuthMethod::Anonymous),
        Some(AuthMethod::Ticket),
        Some(AuthMethod::WampCra),
    );
    let check = |authmethods: &[&str], expected| {
        assert_eq!(
            taken(everything(), authmethods),
            expected,
            "{authmethods:?}"
        );
    };
    check(&[], anonymous);
    check(&["anonymous"], anonymous);
    check(&["ticket", "wampcra"], ticket);
    check(&["wampcra", "ticket", "anonymous"], wampcra);
    check(&["cryptosign", "scram", "ticket"], ticket);
    check(&["no such thing", "anonymous"], anonymous);
    check(&["Ticket"], None);
    check(&["scram"], None);

    let check = |authmethods: &[&str], expected| {
        let config = AuthConfig {
            ticket: Some(self::ticket()),
            ..AuthConfig::default()
        };
        assert_eq!(
            taken(config, authmethods),
            expected,
            "{authmethods:?}, only ticket there"
        );
    };
    check(&[], None);
    check(&["anonymous"], None);
    check(&["anonymous", "wampcra", "ticket"], ticket);
}

#[test]
fn without_a_common_method_the_client_is_told_which_there_are() {
    let config = AuthConfig {
        anonymous: None,
        ..everything()
    };
    let error = rejected(hello(config, &["anonymous", "scram"], None));
    assert_eq!(error.uri(), "wamp.error.no_auth_method");
    let told = "none of the offered authmethods is accepted here, which takes ticket, wampcra";
    assert_eq!(error.to_string(), told);

    let error = rejected(hello(AuthConfig::default(), &[], None));
    let told = "none of the offered authmethods is accepted here, which takes none";
    assert_eq!(error.to_string(), told);
}

#[test]
fn a_method_with_principals_needs_an_authid() {
    for method in [AuthMethod::Ticket, AuthMethod::WampCra] {
        let error = rejected(hello(everything(), &[method.name()], None));
        assert_eq!(error, AuthError::NoAuthid(method));
        assert_eq!(error.uri(), "wamp.error.not_authorized");
    }
}

#[test]
fn an_authid_has_at_most_1024_bytes() {
    for method in ["ticket", "wampcra"] {
        let told = |length| match hello(everything(), &[method], Some(&"x".repeat(length))) {
            Verdict::Reject(error) => Some((error.uri(), error.to_string())),
            Verdict::Accept(_) | Verdict::Challenge { .. } => None,
        };
        let refusal = "the authid has 1025 bytes, 1024 are allowed".to_owned();
        assert_eq!(told(1024), None);
        assert_eq!(told(1025), Some(("wamp.error.not_authorized", refusal)));
    }
}

#[test]
fn an_open_transport_lets_everybody_in_as_anonymous() {
    let Verdict::Accept(identity) = hello(AuthConfig::open(), &[], Some("joe")) else {
        panic!("not accepted");
    };
    assert_eq!(identity.authrole, "anonymous");
    assert_eq!(identity.provider(), "static");
    assert_ne!(
        identity.authid, "joe",
        "whom it says it is counts for nothing"
    );
}

#[test]
fn the_right_ticket_gives_the_principals_identity() {
    let (method, extra, pending) = challenged(hello(everything(), &["ticket"], Some("joe")));
    assert_eq!(method, AuthMethod::Ticket);
    assert!(extra.is_empty());
    let identity = pending.verify("open sesame").unwrap();
    assert_eq!(
        (&*identity.authid, &*identity.authrole),
        ("joe", "frontend")
    );
    assert_eq!(
        (identity.method, identity.realm),
        (AuthMethod::Ticket, None)
    );
}

#[test]
fn the_right_signature_gives_the_users_identity() {
    let (method, extra, pending) = challenged(hello(everything(), &["wampcra"], Some("peter")));
    assert_eq!(method, AuthMethod::WampCra);
    let challenge = extra.text("challenge").unwrap().unwrap();
    let identity = pending.verify(&signature("rosebud", challenge)).unwrap();
    assert_eq!(
        (&*identity.authid, &*identity.authrole),
        ("peter", "backend")
    );
}

#[test]
fn a_salted_challenge_carries_what_the_client_derives_the_key_with() {
    let mut config = everything();
    let user = config
        .wampcra
        .as_mut()
        .and_then(|cra| cra.users.get_mut("peter"))
        .unwrap();
    user.salting = Some(Salting {
        salt: "salt123".into(),
        iterations: 100.try_into().unwrap(),
        keylen: 16.try_into().unwrap(),
    });
    let (_, extra, _) = challenged(hello(config, &["wampcra"], Some("peter")));
    assert_eq!(extra.text("salt").unwrap().unwrap(), "salt123");
    assert_eq!(extra.unsigned("iterations").unwrap(), Some(100));
    assert_eq!(extra.unsigned("keylen").unwrap(), Some(16));
}

#[test]
fn nobody_can_tell_a_wrong_secret_from_an_unknown_authid() {
    for (method, known) in [("ticket", "joe"), ("wampcra", "peter")] {
        let ask = |authid| {
            let (method, extra, pending) = challenged(hello(everything(), &[method], Some(authid)));
            let keys: Vec<String> = extra.iter().map(|(key, _)| key.to_string()).collect();
            let challenge = extra
                .text("challenge")
                .unwrap()
                .map(|it| it.replace(authid, "?").len());
            let error = pending.verify("wrong").unwrap_err();
            (method, keys, challenge, error.uri(), error.to_string())
        };
        assert_eq!(ask(known), ask("eve"), "{method}");
    }
}

#[test]
fn no_secret_is_in_any_debug_output() {
    let key = DecoyKey::from_bytes([1; 32]);
    let authenticators = Authenticators::prepare(everything(), &key);
    let verdicts: Vec<Verdict> = [("ticket", "joe"), ("wampcra", "peter")]
        .map(|(method, authid)| hello(everything(), &[method], Some(authid)))
        .into();
    let shown = format!("{:?} {authenticators:?} {verdicts:?} {key:?}", everything());
    for secret in ["open sesame", "rosebud", "[1, 1, 1"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn every_error_has_a_uri_and_a_text() {
    let errors = [
        AuthError::NoMethod { accepted: vec![] },
        AuthError::NoAuthid(AuthMethod::Ticket),
        AuthError::AuthidTooLong { bytes: 1025 },
        AuthError::Denied,
        AuthError::NoRandomness,
    ];
    for error in errors {
        assert!(error.uri().starts_with("wamp.error."), "{error:?}");
        assert!(!error.to_string().ends_with('.'), "{error}");
    }
}

fn signature(secret: &str, challenge: &str) -> String {
    use base64::Engine;
    let key = super::secret::keyed(secret.as_bytes());
    let digest = super::secret::digest(&key, &[challenge.as_bytes()]);
    base64::engine::general_purpose::STANDARD.encode(digest)
}
