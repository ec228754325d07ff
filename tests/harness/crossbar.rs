//! The real Crossbar, on a configuration that our node could have as well.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;
use super::deadline::{SOON, within};
use super::foreign::{self, Program};
use super::node::{self, Ports, free_port};

/// A running Crossbar. Dropped, it is interrupted, so that its workers end as well.
pub(crate) struct Crossbar {
    pub(crate) ports: Ports,
    folder: TempDir,
    program: Option<Program>,
}

impl Crossbar {
    /// Starts it with one realm; returns when it lets clients in.
    pub(crate) fn start(realm: Value) -> Self {
        let ports = Ports {
            ws: free_port(),
            raw: free_port(),
            admin: 0,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join(".crossbar");
        fs::create_dir(&directory).expect("a folder");
        let mut config = node::config(&ports, json!([realm]), &node::anonymous());
        config.as_object_mut().expect("a map").remove("rewamp");
        let endpoint = json!({"type": "tcp", "interface": "127.0.0.1", "port": ports.ws});
        config["workers"][0]["transports"][0] =
            json!({"type": "websocket", "endpoint": endpoint, "auth": node::anonymous()});
        fs::write(directory.join("config.json"), config.to_string()).expect("a file");
        let mut crossbar = Self {
            ports,
            folder,
            program: None,
        };
        crossbar.restart();
        crossbar
    }

    /// Starts it again after [`Self::stop`].
    pub(crate) fn restart(&mut self) {
        self.program = Some(foreign::crossbar(&self.directory()));
        within(4 * SOON, "Crossbar listens", || {
            Client::join(self.ports.raw).ok()
        });
        // Transports begin one after another.
        within(4 * SOON, "Crossbar listens for WebSockets", || {
            std::net::TcpStream::connect(("127.0.0.1", self.ports.ws)).ok()
        });
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        if let Some(program) = self.program.take() {
            program.interrupt();
        }
    }

    /// Its WebSocket.
    pub(crate) fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.ws)
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join(".crossbar")
    }
}

impl Drop for Crossbar {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}
