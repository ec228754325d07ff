//! The programs of the README's tour, in its order and on a node with nothing configured:
//! publish, ask, kill, ask again.

use crate::harness::foreign;
use crate::harness::node::Node;

#[test]
fn what_the_tour_publishes_is_there_after_the_kill() {
    let mut node = Node::start_with_nothing_configured();
    let url = node.ws();
    let python = foreign::python("examples/tour/publish.py", &[&url]).says();
    let javascript = foreign::node("examples/tour/publish.js", &[&url]).says();
    let published = ids(&(python + &javascript), |line| {
        line.strip_prefix("published ")?
            .split_once(" as ")
            .map(|(_, id)| id)
    });
    let newest_first: Vec<String> = published.into_iter().rev().collect();
    assert_eq!(newest_first.len(), 6, "three from each program");

    for killed in [false, true] {
        if killed {
            node.kill();
            node.restart();
        }
        let python = foreign::python("examples/tour/ask.py", &[&url]).says();
        let javascript = foreign::node("examples/tour/ask.js", &[&url]).says();
        for answer in [python, javascript] {
            let asked = ids(&answer, |line| {
                let (time, rest) = line.split_once(' ')?;
                time.ends_with('Z').then(|| rest.split(' ').next())?
            });
            assert_eq!(asked, newest_first, "{answer}");
        }
    }
}

/// What `id` finds in the lines; other lines are the library's own.
fn ids<'a>(said: &'a str, id: impl Fn(&'a str) -> Option<&'a str>) -> Vec<String> {
    said.lines().filter_map(id).map(str::to_owned).collect()
}
