//! Who can log in, and as what: roles and realms that logins name have to be there.

use std::collections::HashSet;

use super::super::cursor::Cursor;
use super::super::finding::{Findings, suggest};
use super::services;

pub(super) fn check(router: &Cursor, findings: &mut Findings) {
    let known = Known::of(router);
    for transport in router.key("transports").items() {
        for service in services(&transport) {
            let auth = service.key("auth");
            if auth.exists() {
                check_auth(&auth, &known, findings);
            } else if !known.roles.contains("anonymous") {
                let text = "nobody can log in: without `auth` anybody is `anonymous`, and no realm \
                            has a role of that name";
                findings.warn(&auth.path, text);
            }
        }
    }
}

/// What a worker's logins may refer to.
struct Known<'a> {
    realms: HashSet<&'a str>,
    roles: HashSet<&'a str>,
    /// Realm and role.
    pairs: HashSet<(&'a str, &'a str)>,
}

impl<'a> Known<'a> {
    fn of(router: &Cursor<'a>) -> Self {
        let mut known = Self {
            realms: HashSet::new(),
            roles: HashSet::new(),
            pairs: HashSet::new(),
        };
        for realm in router.key("realms").items() {
            let Some(name) = realm.key("name").text() else {
                continue;
            };
            known.realms.insert(name);
            for role in realm
                .key("roles")
                .items()
                .filter_map(|role| role.key("name").text())
            {
                known.roles.insert(role);
                known.pairs.insert((name, role));
            }
        }
        known
    }
}

fn check_auth(auth: &Cursor, known: &Known, findings: &mut Findings) {
    if auth.entries().next().is_none() {
        findings.warn(&auth.path, "nobody can log in: no method is configured");
    }
    let anonymous = auth.key("anonymous");
    if anonymous.is_of_type("static") {
        check_anonymous(&anonymous, known, findings);
    }
    for (method, principals) in [("ticket", "principals"), ("wampcra", "users")] {
        let method = auth.key(method);
        if method.is_of_type("static") {
            for (_, principal) in method.key(principals).entries() {
                check_role(&principal.key("role"), known, findings);
            }
        }
    }
}

fn check_anonymous(anonymous: &Cursor, known: &Known, findings: &mut Findings) {
    let (role, realm) = (anonymous.key("role"), anonymous.key("realm"));
    let Some(realm_name) = realm.text() else {
        if role.exists() {
            return check_role(&role, known, findings);
        }
        if !known.roles.contains("anonymous") {
            findings.fault(
                &role.path,
                "no realm of this worker has a role \"anonymous\", which it is when left out",
            );
        }
        return;
    };
    let role_name = role.text().unwrap_or("anonymous");
    if !known.realms.contains(realm_name) {
        refuse_name(
            &realm,
            "realm of this worker",
            realm_name,
            &known.realms,
            findings,
        );
    } else if !known.pairs.contains(&(realm_name, role_name)) {
        findings.fault(
            &role.path,
            format!("realm {realm_name:?} has no role {role_name:?}"),
        );
    }
}

fn check_role(role: &Cursor, known: &Known, findings: &mut Findings) {
    if let Some(name) = role.text()
        && !known.roles.contains(name)
    {
        refuse_name(
            role,
            "role of a realm of this worker",
            name,
            &known.roles,
            findings,
        );
    }
}

fn refuse_name(
    at: &Cursor,
    what: &str,
    name: &str,
    known: &HashSet<&str>,
    findings: &mut Findings,
) {
    let text = match suggest(name, known.iter().copied()) {
        Some(near) => format!("{name:?} is no {what}; did you mean {near:?}?"),
        None => format!("{name:?} is no {what}"),
    };
    findings.fault(&at.path, text);
}
