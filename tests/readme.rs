//! The examples of the README's chapters on history run as they stand there.

use crate::harness::foreign;
use crate::harness::node::Node;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

#[test]
fn its_python_examples_run() {
    let node = Node::start_with_nothing_configured();
    let arguments = [&node.ws(), "realm1", "json", README];
    foreign::python("tests/clients/autobahn_python/readme.py", &arguments).succeeds();
}

#[test]
fn its_javascript_examples_run() {
    let node = Node::start_with_nothing_configured();
    let arguments = [&node.ws(), "realm1", "json", README];
    foreign::node("tests/clients/autobahn_js/readme.js", &arguments).succeeds();
}
