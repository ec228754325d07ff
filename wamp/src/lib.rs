//! rewamp-wamp
