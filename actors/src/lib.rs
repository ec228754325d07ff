//! rewamp-actors
