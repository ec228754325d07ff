//! What a role answers: permits, and what is told to whom it denies.

use super::*;

use MatchPolicy::{Exact, Prefix, Wildcard};

const NOTHING: Allow = Allow {
    call: false,
    register: false,
    publish: false,
    subscribe: false,
};

fn role(permissions: &[Permission]) -> Role {
    Role::with_permissions("limited", permissions)
}

/// Which actions on `uri` the role allows.
fn allowed(role: &Role, uri: &str) -> Allow {
    Allow {
        call: role.may_call(uri).is_ok(),
        register: role.may_register(uri, Exact).is_ok(),
        publish: role.may_publish(uri).is_ok(),
        subscribe: role.may_subscribe(uri, Exact).is_ok(),
    }
}

#[test]
fn each_action_has_its_own_permission() {
    for allow in [
        NOTHING,
        Allow {
            call: true,
            ..NOTHING
        },
        Allow {
            register: true,
            ..NOTHING
        },
        Allow {
            publish: true,
            ..NOTHING
        },
        Allow {
            subscribe: true,
            ..NOTHING
        },
        Allow::ALL,
    ] {
        let role = role(&[Permission::new("com.a", Some(Exact)).allowing(allow)]);
        assert_eq!(allowed(&role, "com.a"), allow);
        assert_eq!(allowed(&role, "com.b"), NOTHING);
    }
}

#[test]
fn a_role_without_permissions_allows_all_or_nothing() {
    let allows = |by_default| allowed(&Role::without_permissions("any", by_default), "com.a");
    assert_eq!(allows(true), Allow::ALL);
    assert_eq!(allows(false), NOTHING);
    assert_eq!(allowed(&role(&[]), "com.a"), NOTHING);
    let open = Role::without_permissions("any", true);
    for policy in [Prefix, Wildcard] {
        assert!(open.may_subscribe("com..a", policy).is_ok());
        assert!(open.may_register("", policy).is_ok());
    }
}

#[test]
fn the_rule_that_allows_says_who_is_disclosed_and_what_may_be_kept() {
    for (caller, publisher, cache) in [(true, false, false), (false, true, true)] {
        let permission = Permission {
            cache,
            ..Permission::new("com.", Some(Prefix))
        }
        .allowing(Allow::ALL)
        .disclosing(Disclose { caller, publisher });
        let role = role(&[permission]);
        let (call, publish) = (
            role.may_call("com.a").unwrap(),
            role.may_publish("com.a").unwrap(),
        );
        assert_eq!((call.discloses_caller(), call.may_cache()), (caller, cache));
        assert_eq!(
            (publish.discloses_publisher(), publish.may_cache()),
            (publisher, cache)
        );
    }
}

#[test]
fn under_allow_by_default_nobody_is_disclosed() {
    let open = Role::without_permissions("any", true);
    assert!(!open.may_call("com.a").unwrap().discloses_caller());
    assert!(!open.may_publish("com.a").unwrap().discloses_publisher());
}

#[test]
fn a_meta_procedure_is_permitted_like_any_other() {
    let uri = "wamp.subscription.get_events";
    let call = Allow {
        call: true,
        ..NOTHING
    };
    assert!(
        role(&[Permission::new("com.*", None).allowing(Allow::ALL)])
            .may_call(uri)
            .is_err()
    );
    assert!(
        role(&[Permission::new(uri, None).allowing(call)])
            .may_call(uri)
            .is_ok()
    );
}

#[test]
fn a_pattern_is_asked_about_as_a_pattern() {
    let role = role(&[Permission::new("com.a.", Some(Prefix)).allowing(Allow::ALL)]);
    for (pattern, policy, may) in [
        ("com.a.", Prefix, true),
        ("com.", Prefix, false),
        ("com.a..b", Wildcard, true),
    ] {
        assert_eq!(
            role.may_subscribe(pattern, policy).is_ok(),
            may,
            "{pattern} {policy:?}"
        );
        assert_eq!(
            role.may_register(pattern, policy).is_ok(),
            may,
            "{pattern} {policy:?}"
        );
    }
}

#[test]
fn who_is_denied_is_told_in_crossbars_words() {
    let asker = Asker {
        session: SessionId::new(5_355_254_137_059_152).unwrap(),
        authid: "joe",
        authrole: "limited",
        realm: "realm1",
    };
    let who = r#"session (session_id=5355254137059152, authid="joe", authrole="limited")"#;
    let check = |denied: NotAuthorized<'_>, action: Action, text: &str| {
        assert_eq!(denied.action, action);
        assert_eq!(denied.told_to(&asker), text.replace("WHO", who));
    };
    let role = role(&[]);
    check(
        role.may_publish("com.a").unwrap_err(),
        Action::Publish,
        "session not authorized to publish to topic 'com.a'",
    );
    check(
        role.may_subscribe("com..a", Wildcard).unwrap_err(),
        Action::Subscribe,
        r#"WHO is not authorized to subscribe to topic "com..a" on realm "realm1""#,
    );
    check(
        role.may_call("com.a").unwrap_err(),
        Action::Call,
        r#"WHO is not authorized to call procedure "com.a" on realm "realm1""#,
    );
    check(
        role.may_register("com.", Prefix).unwrap_err(),
        Action::Register,
        r#"WHO is not authorized to register procedure "com." on realm "realm1""#,
    );
}

#[test]
fn a_role_is_found_by_its_name() {
    let roles: Roles = [
        Role::without_permissions("anonymous", false),
        Role::without_permissions("admin", true),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        roles.get("admin").map(|role| role.name().to_string()),
        Some("admin".to_owned())
    );
    assert!(roles.get("Admin").is_none());
    assert!(roles.get("").is_none());
}
