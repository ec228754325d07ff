//! The running node: takes the checked configuration and ends when it is told to.

use log::info;

use crate::config::Config;

/// Why the node could not start, or stopped on its own.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nothing listens.
    #[error("no listener could be started")]
    NoListener,
}

/// Runs until a signal stops the node; an error if it could not start.
pub async fn run(config: Config) -> Result<(), NodeError> {
    for realm in &config.realms {
        info!(realm = realm.name.as_str(); "realm configured");
    }
    for transport in &config.transports {
        info!(transport = transport.id.as_str(); "transport configured on {}", transport.endpoint.address);
    }
    Err(NodeError::NoListener)
}
