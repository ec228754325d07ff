//! The precedence against Crossbar's decisions, against a model that is slow and obvious, and case
//! by case.

use proptest::prelude::*;

use super::*;

use MatchPolicy::{Exact, Prefix, Wildcard};

/// `(uri, match, allowed)`
type Rule<'a> = (&'a str, Option<MatchPolicy>, bool);

fn rules<'a>(configured: impl IntoIterator<Item = Rule<'a>>) -> Rules {
    let permission = |(uri, policy, subscribe)| {
        Permission::new(uri, policy).allowing(Allow {
            subscribe,
            ..Allow::default()
        })
    };
    let permissions: Vec<_> = configured.into_iter().map(permission).collect();
    Rules::compile(&permissions, Grant::NOTHING)
}

fn allows(rules: &Rules, uri: &str, policy: MatchPolicy) -> bool {
    rules.decide(uri, policy).allow.subscribe
}

/// Each line is a role of one to seven rules and what Crossbar 26.10's static authorization said
/// to some URIs. No two rules share a URI or a head, where Crossbar would forget one of them.
#[test]
fn what_crossbar_decides_is_decided_here() {
    let roles: serde_json::Value = serde_json::from_str(include_str!("crossbar.json")).unwrap();
    let mut decisions = 0;
    for role in roles.as_array().unwrap() {
        let configured = role["rules"].as_array().unwrap().iter().map(|rule| {
            let policy = rule[1]
                .as_str()
                .map(|name| MatchPolicy::from_name(name).unwrap());
            (
                rule[0].as_str().unwrap(),
                policy,
                rule[2].as_bool().unwrap(),
            )
        });
        let rules = rules(configured);
        for (key, expected) in [("allowed", true), ("denied", false)] {
            for uri in role[key].as_array().unwrap() {
                let uri = uri.as_str().unwrap();
                assert_eq!(allows(&rules, uri, Exact), expected, "{uri} in {role}");
                decisions += 1;
            }
        }
    }
    assert!(decisions > 1000, "{decisions}");
}

/// Crossbar's algorithm by looking at every rule: the index of the one that decides.
fn model(rules: &[(String, MatchPolicy)], uri: &str, policy: MatchPolicy) -> Option<usize> {
    let is_plain = |text: &str| text.split('.').all(|component| !component.is_empty());
    let own = rules.iter().rposition(|(text, of)| {
        text == uri && (*of == policy || (is_plain(uri) && *of != Prefix && policy != Prefix))
    });
    if own.is_some() {
        return own;
    }
    let head = |text: &str| {
        let cut = format!(".{text}.").find("..").unwrap();
        format!(".{text}.")[..cut]
            .trim_start_matches('.')
            .to_owned()
    };
    let wildcards = || {
        let is_wildcard = |text: &str, of| of == Wildcard && !is_plain(text);
        let met = move |text: &str| uri.starts_with(&head(text));
        rules
            .iter()
            .enumerate()
            .filter(move |(_, (text, of))| is_wildcard(text, *of) && met(text))
    };
    let longest = wildcards().map(|(_, (text, _))| head(text).len()).max();
    let mut asked = wildcards().filter(|(_, (text, _))| Some(head(text).len()) == longest);
    if let Some((index, _)) = asked.rfind(|(_, (text, of))| covers((text, *of), (uri, policy))) {
        return Some(index);
    }
    let is_stem = |text: &str, of| of != Wildcard || is_plain(text);
    let met = rules
        .iter()
        .filter(|(text, of)| is_stem(text, *of) && uri.starts_with(&**text));
    let stem = met.map(|(text, _)| text).max_by_key(|text| text.len())?;
    rules
        .iter()
        .rposition(|(text, of)| text == stem && *of == Prefix)
}

fn a_policy() -> impl Strategy<Value = MatchPolicy> {
    prop_oneof![1 => Just(Exact), 1 => Just(Prefix), 2 => Just(Wildcard)]
}

/// Few components, so that rules and URIs meet; empty ones too, where the policy has them.
fn a_pattern() -> impl Strategy<Value = (String, MatchPolicy)> {
    let component = prop_oneof![2 => "a|b|ab", 1 => Just(String::new())];
    (prop::collection::vec(component, 1..4), a_policy()).prop_map(|(mut components, policy)| {
        let last = components.len() - 1;
        for (index, component) in components.iter_mut().enumerate() {
            let may_be_empty = policy == Wildcard || (policy == Prefix && index == last);
            if component.is_empty() && !may_be_empty {
                component.push('c');
            }
        }
        (components.join("."), policy)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// What a rule grants is its own number, so that the right answer of a wrong rule fails.
    #[test]
    fn the_rule_that_decides_is_the_models(
        configured in prop::collection::vec(a_pattern(), 0..8),
        (uri, policy) in a_pattern(),
    ) {
        let permissions: Vec<_> = configured.iter().enumerate().map(|(index, (text, policy))| {
            let bit = |bit: usize| index >> bit & 1 == 1;
            let allow = Allow { call: bit(0), register: bit(1), publish: bit(2), subscribe: true };
            Permission::new(text, Some(*policy)).allowing(allow)
        }).collect();
        let decided = Rules::compile(&permissions, Grant::NOTHING).decide(&uri, policy).allow;
        let expected = model(&configured, &uri, policy)
            .and_then(|index| permissions.get(index))
            .map_or_else(Allow::default, |permission| permission.allow);
        prop_assert_eq!(decided, expected, "{:?} {:?}", uri, policy);
    }
}

fn check(configured: &[Rule<'_>], uri: &str, policy: MatchPolicy, allowed: bool) {
    let rules = rules(configured.iter().copied());
    assert_eq!(
        allows(&rules, uri, policy),
        allowed,
        "{uri} ({policy:?}) under {configured:?}"
    );
}

fn exact(uri: &str, allowed: bool) -> Rule<'_> {
    (uri, Some(Exact), allowed)
}

fn prefix(uri: &str, allowed: bool) -> Rule<'_> {
    (uri, Some(Prefix), allowed)
}

fn wildcard(uri: &str, allowed: bool) -> Rule<'_> {
    (uri, Some(Wildcard), allowed)
}

#[test]
fn what_no_rule_speaks_of_is_denied() {
    check(&[], "com.a", Exact, false);
    check(&[exact("com.a", true)], "com.b", Exact, false);
    check(&[exact("", true)], "com.a", Exact, false);
}

#[test]
fn the_longest_prefix_decides() {
    let configured = [
        prefix("", true),
        prefix("com.a.", false),
        prefix("com.a.b", true),
    ];
    check(&configured, "org", Exact, true);
    check(&configured, "com.a.x", Exact, false);
    check(&configured, "com.a.bc", Exact, true);
}

#[test]
fn an_exact_rule_cuts_off_what_begins_with_its_uri() {
    for allowed in [false, true] {
        let configured = [prefix("com.a.", true), exact("com.a.b", allowed)];
        check(&configured, "com.a.b", Exact, allowed);
        check(&configured, "com.a.b.c", Exact, false);
        check(&configured, "com.a.bc", Exact, false);
        check(&configured, "com.a.c", Exact, true);
    }
}

#[test]
fn a_wildcard_goes_over_a_prefix_but_not_over_the_uri_itself() {
    let configured = [prefix("com.", false), wildcard("com..created", true)];
    check(&configured, "com.order.created", Exact, true);
    check(&configured, "com.order.deleted", Exact, false);
    let configured = [
        exact("com.order.created", false),
        wildcard("com..created", true),
    ];
    check(&configured, "com.order.created", Exact, false);
    check(&configured, "com.item.created", Exact, true);
}

#[test]
fn only_wildcards_with_the_longest_head_are_asked() {
    let configured = [
        wildcard("com..created", true),
        wildcard("com.order..x", true),
    ];
    check(&configured, "com.item.created", Exact, true);
    check(&configured, "com.order.created", Exact, false);
    check(&configured, "com.order.a.x", Exact, true);
}

#[test]
fn of_several_wildcards_that_fit_the_last_decides() {
    let configured = [wildcard("com..created", true), wildcard("com..", false)];
    check(&configured, "com.order.created", Exact, false);
    let configured = [wildcard("com..", false), wildcard("com..created", true)];
    check(&configured, "com.order.created", Exact, true);
}

#[test]
fn rules_do_not_erase_one_another() {
    let configured = [
        wildcard("com..created", true),
        wildcard("com..deleted", true),
    ];
    check(&configured, "com.order.created", Exact, true);
    check(&configured, "com.order.deleted", Exact, true);
    let configured = [prefix("com.a", true), exact("com.a", false)];
    check(&configured, "com.a", Exact, false);
    check(&configured, "com.ab", Exact, true);
    check(&configured, "com.a", Prefix, true);
}

#[test]
fn a_wildcard_may_begin_and_end_with_any_component_and_have_capitals() {
    check(&[wildcard(".created", true)], "order.created", Exact, true);
    check(
        &[wildcard("com.order.", true)],
        "com.order.created",
        Exact,
        true,
    );
    check(
        &[wildcard("com..Created", true)],
        "com.order.Created",
        Exact,
        true,
    );
    check(&[("*.created", None, true)], "order.created", Exact, true);
}

/// Crossbar denies a wildcard SUBSCRIBE that equals its own rule.
#[test]
fn a_rule_applies_to_the_pattern_that_it_is() {
    check(&[wildcard("com.w..y", true)], "com.w..y", Wildcard, true);
    check(&[prefix("com.", true)], "com.", Prefix, true);
    check(&[exact("com.a", true)], "com.a", Exact, true);
    check(&[wildcard("com.a", true)], "com.a", Wildcard, true);
    let configured = [prefix("com.a.b", true), wildcard("com..b", false)];
    check(&configured, "com.a.b", Prefix, true);
}

#[test]
fn a_pattern_is_allowed_by_a_rule_that_covers_it() {
    check(&[prefix("com.", true)], "com.a.", Prefix, true);
    check(&[prefix("com.", true)], "com..y", Wildcard, true);
    check(&[wildcard("com..", true)], "com..y", Wildcard, true);
    check(&[wildcard("com...", true)], "com..y.", Wildcard, true);
}

#[test]
fn a_pattern_is_not_allowed_by_a_rule_that_is_narrower() {
    check(&[prefix("com.a.", true)], "com.", Prefix, false);
    check(&[wildcard("com..y", true)], "com..", Wildcard, false);
    check(&[exact("com.a", true)], "com.a", Prefix, false);
    check(&[wildcard("com..y", true)], "com.a.y", Prefix, false);
    check(&[prefix("com.a.", true)], "com..b", Wildcard, false);
    check(&[wildcard("com.#.y", true)], "com..y", Wildcard, false);
}
