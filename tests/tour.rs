//! The programs of the README's tour, in its order: publish, ask, kill, ask again.

use serde_json::json;

use crate::harness::foreign;
use crate::harness::node::{self, Node};

#[test]
fn what_the_tour_publishes_is_there_after_the_kill() {
    let everything = json!({
        "type": "sled", "path": "history", "maxsize": 67_108_864,
        "event-history": [{"uri": "", "match": "prefix"}]
    });
    let mut node = Node::start(|ports| {
        let realms = json!([node::open_realm(everything.clone())]);
        node::config(ports, realms, &node::anonymous())
    });
    let url = node.ws();
    let mut published = publications(
        &foreign::python("examples/tour/publish.py", &[&url]).says(),
        3,
    );
    published.extend(publications(
        &foreign::node("examples/tour/publish.js", &[&url]).says(),
        3,
    ));
    let newest_first: Vec<String> = published.into_iter().rev().collect();
    assert_eq!(newest_first.len(), 6, "three from each program");

    for killed in [false, true] {
        if killed {
            node.kill();
            node.restart();
        }
        let python = foreign::python("examples/tour/ask.py", &[&url]).says();
        let javascript = foreign::node("examples/tour/ask.js", &[&url]).says();
        assert_eq!(publications(&python, 1), newest_first, "{python}");
        assert_eq!(publications(&javascript, 1), newest_first, "{javascript}");
    }
}

/// The word at `place` of every line that has an ID there; other lines are the library's own.
fn publications(said: &str, place: usize) -> Vec<String> {
    said.lines()
        .filter_map(|line| line.split_whitespace().nth(place))
        .filter(|word| word.parse::<u64>().is_ok())
        .map(str::to_owned)
        .collect()
}
