//! rewamp-history
