//! What is measured, in which order, and the bars that the results are held against: tables.

use super::servers::Server;
use crate::load::{Mode, Transport};
use crate::wire::Format;

/// One row of the results: a mode over one wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// What the generator does.
    pub(crate) mode: Mode,
    /// `--window`, where the mode has several.
    pub(crate) window: Option<u64>,
    /// `--limit` of the mode `pages`.
    pub(crate) limit: Option<u64>,
    /// WAMP transport and serializer.
    pub(crate) wire: RowWire,
}

/// The two wires that the bars speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowWire {
    /// RawSocket with MessagePack.
    RawMsgpack,
    /// WebSocket with JSON.
    WsJson,
}

/// What a row is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Things per second.
    Rate,
    /// Half of the events took at most this long.
    P50,
    /// Resident KiB per session.
    Memory,
}

/// What is asked of a ratio, or of a value where there is nobody to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// `subject` reaches at least this many times what `of` reaches.
    AtLeast(f64, Server),
    /// `subject` needs at most this many times what `of` needs.
    AtMost(f64, Server),
    /// The value itself stays below this.
    Below(f64),
}

/// Modes in the order of the results, with their windows and page sizes.
const MODES: [(Mode, Option<u64>, Option<u64>); 13] = [
    (Mode::OneToOne, None, None),
    (Mode::Latency, None, None),
    (Mode::FanOut, None, None),
    (Mode::Many, None, None),
    (Mode::Acked, Some(256), None),
    (Mode::AckedDurable, Some(256), None),
    (Mode::Rpc, Some(1024), None),
    (Mode::Rpc, Some(64), None),
    (Mode::Pages, None, Some(20)),
    (Mode::Pages, None, Some(100)),
    (Mode::Pages, None, Some(1000)),
    (Mode::Joins, None, None),
    (Mode::Idle, None, None),
];

use Bar::{AtLeast, AtMost, Below};
use RowWire::{RawMsgpack, WsJson};
use Server::{Crossbar, Floor, Nats, Sockets};

/// Mode, window or limit (0: any), wire, subject, bar.
const BARS: &[(Mode, u64, RowWire, Server, Bar)] = &[
    (Mode::OneToOne, 0, RawMsgpack, Floor, AtLeast(0.8, Sockets)),
    (
        Mode::OneToOne,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(0.5, Floor),
    ),
    (
        Mode::OneToOne,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(80.0, Crossbar),
    ),
    (Mode::OneToOne, 0, WsJson, Floor, AtLeast(0.8, Sockets)),
    (
        Mode::OneToOne,
        0,
        WsJson,
        Server::Rewamp,
        AtLeast(0.4, Floor),
    ),
    (
        Mode::OneToOne,
        0,
        WsJson,
        Server::Rewamp,
        AtLeast(80.0, Crossbar),
    ),
    (
        Mode::FanOut,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(1.2, Floor),
    ),
    (Mode::FanOut, 0, WsJson, Server::Rewamp, AtLeast(1.2, Floor)),
    (
        Mode::Acked,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(0.45, Floor),
    ),
    (Mode::Acked, 0, WsJson, Server::Rewamp, AtLeast(0.5, Floor)),
    (
        Mode::AckedDurable,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(5.0, Crossbar),
    ),
    (
        Mode::AckedDurable,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(20.0, Nats),
    ),
    (
        Mode::Pages,
        20,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(4.0, Crossbar),
    ),
    (
        Mode::Pages,
        100,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(3.0, Crossbar),
    ),
    (
        Mode::Pages,
        1000,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(2.0, Crossbar),
    ),
    (
        Mode::Rpc,
        1024,
        RawMsgpack,
        Server::Rewamp,
        AtLeast(0.65, Floor),
    ),
    (
        Mode::Rpc,
        1024,
        WsJson,
        Server::Rewamp,
        AtLeast(0.65, Floor),
    ),
    (
        Mode::Latency,
        0,
        RawMsgpack,
        Server::Rewamp,
        AtMost(1.6, Floor),
    ),
    (Mode::Latency, 0, WsJson, Server::Rewamp, AtMost(1.6, Floor)),
    (Mode::Idle, 0, WsJson, Server::Rewamp, Below(12.0)),
];

impl Row {
    /// All rows of some modes, both wires; all modes where none is named.
    pub(crate) fn all(modes: &[Mode]) -> Vec<Self> {
        let wanted = |mode: &Mode| modes.is_empty() || modes.contains(mode);
        MODES
            .iter()
            .filter(|(mode, ..)| wanted(mode))
            .flat_map(|&(mode, window, limit)| {
                [RawMsgpack, WsJson].map(|wire| Self {
                    mode,
                    window,
                    limit,
                    wire,
                })
            })
            .collect()
    }

    /// As in the tables.
    pub(crate) fn title(&self) -> String {
        match (self.mode, self.window, self.limit) {
            (Mode::OneToOne, ..) => "1 to 1, events/s".to_owned(),
            (Mode::Latency, ..) => "1 to 1 at 1000/s, p50 µs".to_owned(),
            (Mode::FanOut, ..) => "1 to 100, deliveries/s".to_owned(),
            (Mode::Many, ..) => "10×10×10, deliveries/s".to_owned(),
            (Mode::Acked, window, _) => {
                format!(
                    "acknowledged, window {}, no history, 1/s",
                    window.unwrap_or_default()
                )
            }
            (Mode::AckedDurable, window, _) => {
                format!(
                    "acknowledged and stored, window {}, 1/s",
                    window.unwrap_or_default()
                )
            }
            (Mode::Stored, ..) => "stored, events/s".to_owned(),
            (Mode::Replay, ..) => "replay, events/s".to_owned(),
            (Mode::Rpc, window, _) => {
                format!("RPC, window {}, calls/s", window.unwrap_or_default())
            }
            (Mode::Pages, _, limit) => {
                format!("newest page of {}, pages/s", limit.unwrap_or_default())
            }
            (Mode::Joins, ..) => "joins and leaves, 1/s".to_owned(),
            (Mode::Idle, ..) => "idle session, KiB".to_owned(),
        }
    }

    /// What counts in this row.
    pub(crate) fn measure(&self) -> Measure {
        match self.mode {
            Mode::Latency => Measure::P50,
            Mode::Idle => Measure::Memory,
            _ => Measure::Rate,
        }
    }

    /// Needs servers that have done nothing yet.
    pub(crate) fn wants_fresh_servers(&self) -> bool {
        self.mode == Mode::Idle
    }

    /// The servers that have this mode, in the order of a turn.
    pub(crate) fn servers(&self) -> Vec<Server> {
        let stored = matches!(self.mode, Mode::AckedDurable | Mode::Pages);
        let nats = matches!(
            self.mode,
            Mode::OneToOne | Mode::Latency | Mode::FanOut | Mode::AckedDurable
        );
        let sockets = matches!(self.mode, Mode::OneToOne | Mode::Latency);
        Server::ALL
            .into_iter()
            .filter(|server| match server {
                Server::Rewamp | Server::Crossbar => true,
                Server::Floor => !stored,
                Server::Sockets => sockets,
                // It has one protocol: measured once, beside the binary serializer.
                Server::Nats => nats && self.wire == RawMsgpack,
            })
            .collect()
    }

    /// Realm of the run: the one with a history where the mode stores.
    pub(crate) fn realm(&self) -> &'static str {
        match self.mode {
            Mode::AckedDurable | Mode::Pages | Mode::Stored | Mode::Replay => {
                super::config::STORED_REALM
            }
            _ => super::config::PLAIN_REALM,
        }
    }

    /// The generator's transport and serializer for a server.
    pub(crate) fn transport(&self, server: Server) -> (Transport, Format) {
        let (transport, format) = match self.wire {
            RawMsgpack => (Transport::Raw, Format::Msgpack),
            WsJson => (Transport::Ws, Format::Json),
        };
        match (server, self.wire) {
            (Server::Nats, _) => (Transport::Nats, format),
            (Server::Sockets, RawMsgpack) => (Transport::BareRaw, format),
            (Server::Sockets, WsJson) => (Transport::BareWs, format),
            _ => (transport, format),
        }
    }

    /// The bars of this row: who has to reach what.
    pub(crate) fn bars(&self) -> impl Iterator<Item = (Server, Bar)> {
        let own = self.window.or(self.limit).unwrap_or_default();
        BARS.iter()
            .filter_map(move |&(mode, size, wire, subject, bar)| {
                let fits = mode == self.mode && wire == self.wire && (size == 0 || size == own);
                fits.then_some((subject, bar))
            })
    }
}

impl RowWire {
    /// As in the tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            RawMsgpack => "RawSocket + MessagePack",
            WsJson => "WebSocket + JSON",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_belongs_to_a_row_that_measures_both_sides() {
        let rows = Row::all(&[]);
        let mut found = 0;
        for row in &rows {
            for (subject, bar) in row.bars() {
                found += 1;
                let servers = row.servers();
                assert!(servers.contains(&subject), "{row:?}");
                if let AtLeast(_, of) | AtMost(_, of) = bar {
                    assert!(servers.contains(&of), "{row:?}");
                }
            }
        }
        assert_eq!(found, BARS.len());
    }
}
