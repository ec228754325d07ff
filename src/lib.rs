//! The node: command line, configuration, listeners, admin endpoint. Everything here is about
//! processes, files and sockets; how a message is routed is known to `rewamp-actors` alone.

pub mod cli; //    what the user asked for
pub mod config; // what the node shall be
pub mod node; //   the running node
mod transport; // where clients come in
mod recorder; // a client that keeps what another router publishes
mod admin; //     what operators ask
