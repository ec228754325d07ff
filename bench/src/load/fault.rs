//! Why a run does not count.

use std::io;

/// What went wrong in a run: its numbers are void.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The socket failed or the server closed it.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The address of the server cannot be understood.
    #[error("`{url}`: {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong or allowed.
        why: &'static str,
    },
    /// The server refused the connection.
    #[error("{0}")]
    Handshake(String),
    /// Bytes that are no frame or message.
    #[error("not a {what}: {bytes:02x?}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// The first bytes.
        bytes: Vec<u8>,
    },
    /// An ERROR, ABORT or GOODBYE, or any answer that was not asked for.
    #[error("{asked} was answered with {answer}")]
    Answer {
        /// What had been sent.
        asked: String,
        /// What came.
        answer: String,
    },
    /// An event was lost, doubled or out of order.
    #[error("receiver {receiver}: event {got} of publisher {publisher} came where {next} was next")]
    Sequence {
        /// Index of the receiver.
        receiver: usize,
        /// Index of the publisher.
        publisher: u16,
        /// Running number that came.
        got: u64,
        /// Running number that should have come.
        next: u64,
    },
    /// An acknowledgement or result that is not under way.
    #[error("answer {counter} came twice or was never asked for")]
    Unasked {
        /// Running number of the publication or call.
        counter: u64,
    },
    /// Not everything arrived in time.
    #[error("{what}: still missing after {seconds} s: {missing}")]
    Missing {
        /// Events, acknowledgements, results.
        what: &'static str,
        /// How many.
        missing: u64,
        /// How long was waited.
        seconds: u64,
    },
    /// Nothing arrived in the measured time.
    #[error("nothing arrived in the measured time")]
    Nothing,
    /// A history page is not what was published.
    #[error("history page: {0}")]
    Page(String),
    /// The mode does not exist for this transport.
    #[error("mode `{mode}` does not exist over `{transport}`")]
    NoSuchMode {
        /// The mode.
        mode: String,
        /// The transport.
        transport: String,
    },
}

impl Fault {
    /// Bytes that are no `what`, cut to a readable length.
    pub(crate) fn malformed(what: &'static str, bytes: &[u8]) -> Self {
        Self::Malformed {
            what,
            bytes: bytes.iter().take(24).copied().collect(),
        }
    }
}
