//! Measures a router.
fn main() {}
