//! The load generator: one run of one mode against one server.

mod fault; // why a run does not count
mod target; // where and how to connect
mod session; // a blocking WAMP client for the set-up
mod nats; // the same for NATS
mod template; // batches that are patched in place
mod dialect; // what comes back
mod ledger; // nothing lost, doubled, reordered
mod stopwatch; // when to measure, what it comes to
mod publish; // driver: publishers and receivers
mod rpc; // driver: caller and callee
mod latency; // driver: at a fixed rate
mod pages; // driver: history
mod stored; // driver: a history filled and read back whole
mod idle; // driver: sessions

pub(crate) use fault::Fault;
pub(crate) use pages::STORED;
pub(crate) use stopwatch::{Line, Outcome, Timing};
pub(crate) use target::{Target, Transport};

use crate::relay;
use crate::socket::Socket;
use dialect::{NATS_INBOX, Nats};
use nats::NatsConnection;
use publish::Stage;
use session::Session;
use std::io::{Read as _, Write as _};
use template::Template;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Mode {
    /// One publisher, one receiver, as fast as it goes.
    OneToOne,
    /// One publisher at 1000 events a second, one receiver: p50 and p99.
    Latency,
    /// One publisher, 100 receivers of one topic.
    FanOut,
    /// 10 publishers that go through 10 topics in turn, 10 receivers of each topic.
    Many,
    /// Acknowledged publications, no receiver, no history.
    Acked,
    /// Acknowledged publications to a stored topic; over WAMP with one receiver.
    AckedDurable,
    /// Publications to a stored topic that nobody acknowledges, until the history shows the last.
    Stored,
    /// One subscriber that begins with a whole history.
    Replay,
    /// One caller, one callee.
    Rpc,
    /// Newest pages of a history.
    Pages,
    /// Memory per idle session.
    Idle,
    /// Joins and leaves.
    Joins,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// What to do.
    pub(crate) mode: Mode,
    /// To whom.
    pub(crate) target: Target,
    /// Warm-up and measured time.
    pub(crate) timing: Timing,
    /// Publications or calls under way, for each publisher; the mode's default where absent.
    pub(crate) window: Option<u64>,
    /// Events a page.
    pub(crate) limit: u64,
    /// Idle sessions.
    pub(crate) sessions: u64,
    /// Events of the modes `stored` and `replay`.
    pub(crate) events: u64,
    /// Mode `replay`: the events are in the history already, since the last run of `stored`.
    pub(crate) filled: bool,
    /// Bytes of the arguments of a publication, where it is not the payload alone.
    pub(crate) size: Option<usize>,
    /// Process of the server, for its CPU time and memory.
    pub(crate) server: Option<u32>,
}

/// Receivers of the modes `fan-out` and, for each topic, `many`.
const FAN_OUT: usize = 100;
const MANY: usize = 10;

impl Run {
    /// Does it.
    pub(crate) fn execute(&self) -> Result<Outcome, Fault> {
        let outcome = match self.target.transport {
            Transport::Raw | Transport::Ws => self.wamp(),
            Transport::Nats => self.nats(),
            Transport::BareRaw | Transport::BareWs => self.bare(),
        }?;
        if outcome.count == 0 {
            Err(Fault::Nothing)
        } else {
            Ok(outcome)
        }
    }

    fn wamp(&self) -> Result<Outcome, Fault> {
        let (target, timing, server) = (&self.target, self.timing, self.server);
        match self.mode {
            Mode::OneToOne => self.publish(1, 1, 1, 4096),
            Mode::FanOut => self.publish(1, 1, FAN_OUT, 1024),
            Mode::Many => self.publish(MANY, MANY, MANY, 256),
            Mode::Acked => self.acknowledged(0, "com.bench.", 256),
            Mode::AckedDurable => self.acknowledged(1, STORED, 256),
            Mode::Stored => stored::store(target, self.events, self.size, server),
            Mode::Replay => stored::replay(target, self.events, self.size, self.filled, server),
            Mode::Latency => {
                let mut receiver = Session::join(target)?;
                let topics = names("com.bench.latency", 1);
                receiver.subscribe(&topics.concat(), "exact")?;
                let publisher = Session::join(target)?.into_socket(true)?;
                let template = Template::publish(target.wire, &topics, false, self.size);
                let receiver = receiver.into_socket(true)?;
                latency::run(target.wire, (publisher, template), receiver, timing, server)
            }
            Mode::Rpc => {
                let mut callee = Session::join(target)?;
                callee.register("com.bench.echo")?;
                let caller = Session::join(target)?.into_socket(false)?;
                let template = Template::call(target.wire, "com.bench.echo");
                let callee = callee.into_socket(false)?;
                let window = self.window.unwrap_or(1024);
                rpc::run(
                    target.wire,
                    (caller, template),
                    callee,
                    window,
                    timing,
                    server,
                )
            }
            Mode::Pages => pages::run(target, self.limit, timing, server),
            Mode::Idle => idle::idle(target, self.sessions, server),
            Mode::Joins => idle::joins(target, timing, server),
        }
    }

    fn publish(
        &self,
        publishers: usize,
        topics: usize,
        receivers: usize,
        window: u64,
    ) -> Result<Outcome, Fault> {
        let target = &self.target;
        let names = names("com.bench.t", topics);
        let mut stage = self.stage(topics, false, window);
        for topic in 0..topics * receivers {
            let topic = topic % topics;
            let mut session = Session::join(target)?;
            session.subscribe(names.get(topic).map_or("", String::as_str), "exact")?;
            stage.receivers.push((session.into_socket(false)?, topic));
        }
        for _ in 0..publishers {
            let socket = Session::join(target)?.into_socket(false)?;
            let template = Template::publish(target.wire, &names, false, self.size);
            stage.publishers.push((socket, template));
        }
        Ok(publish::run(target.wire, stage, self.timing, self.server)?.0)
    }

    /// One publisher whose publications below `prefix` are acknowledged. A stored topic has one
    /// receiver, since Crossbar stores nothing without, and afterwards has to be in the history.
    fn acknowledged(&self, receivers: usize, prefix: &str, window: u64) -> Result<Outcome, Fault> {
        let target = &self.target;
        let names = names(&format!("{prefix}a"), 1);
        let mut stage = self.stage(1, true, window);
        let mut subscription = None;
        for _ in 0..receivers {
            let mut session = Session::join(target)?;
            subscription = Some(session.subscribe(prefix, "prefix")?);
            stage.receivers.push((session.into_socket(false)?, 0));
        }
        let socket = Session::join(target)?.into_socket(false)?;
        let template = Template::publish(target.wire, &names, true, self.size);
        stage.publishers.push((socket, template));
        let mut asker = Session::join(target)?;
        let (outcome, published) = publish::run(target.wire, stage, self.timing, self.server)?;
        if let Some(subscription) = subscription {
            pages::check_newest(&mut asker, subscription, 20, published)?;
        }
        Ok(outcome)
    }

    fn nats(&self) -> Result<Outcome, Fault> {
        let target = &self.target;
        let receivers = match self.mode {
            Mode::OneToOne | Mode::Latency => 1,
            Mode::FanOut => FAN_OUT,
            Mode::AckedDurable => 0,
            _ => return Err(self.no_such_mode()),
        };
        let stored = self.mode == Mode::AckedDurable;
        let window = if stored {
            256
        } else {
            4096 / receivers.clamp(1, 4) as u64
        };
        let mut stage = self.stage(1, stored, window);
        let blocking = self.mode == Mode::Latency;
        let subjects = names(if stored { "stored.t" } else { "bench.t" }, 1);
        for _ in 0..receivers {
            let mut connection = NatsConnection::open(target)?;
            connection.subscribe(&subjects.concat())?;
            stage.receivers.push((connection.into_socket(blocking)?, 0));
        }
        let mut publisher = NatsConnection::open(target)?;
        if stored {
            publisher.create_stream("stored.>")?;
            publisher.subscribe(&format!("{NATS_INBOX}*"))?;
        }
        let template = Template::nats(&subjects, stored.then_some(NATS_INBOX));
        let publisher = (publisher.into_socket(blocking)?, template);
        if blocking && let Some((receiver, _)) = stage.receivers.pop() {
            return latency::run(Nats, publisher, receiver, self.timing, self.server);
        }
        stage.publishers.push(publisher);
        Ok(publish::run(Nats, stage, self.timing, self.server)?.0)
    }

    /// Events through the relay: what sockets alone can do.
    fn bare(&self) -> Result<Outcome, Fault> {
        let target = &self.target;
        let blocking = self.mode == Mode::Latency;
        let end = |which: u8, echoed: bool| {
            let mut stream = target.connect()?;
            stream.write_all(&[which])?;
            if echoed {
                stream.read_exact(&mut [0])?;
            }
            stream.set_nonblocking(!blocking)?;
            Ok::<_, Fault>(Socket::new(stream, Vec::new()))
        };
        let receiver = end(relay::RECEIVER, true)?;
        let publisher = (end(relay::SENDER, false)?, Template::event(target.wire));
        match self.mode {
            Mode::Latency => {
                latency::run(target.wire, publisher, receiver, self.timing, self.server)
            }
            Mode::OneToOne => {
                let mut stage = self.stage(1, false, 4096);
                stage.publishers.push(publisher);
                stage.receivers.push((receiver, 0));
                Ok(publish::run(target.wire, stage, self.timing, self.server)?.0)
            }
            _ => Err(self.no_such_mode()),
        }
    }

    fn stage(&self, topics: usize, acknowledged: bool, window: u64) -> Stage {
        Stage {
            publishers: Vec::new(),
            receivers: Vec::new(),
            topics,
            acknowledged,
            window: self.window.unwrap_or(window),
        }
    }

    fn no_such_mode(&self) -> Fault {
        Fault::NoSuchMode {
            mode: mode_name(self.mode),
            transport: format!("{:?}", self.target.transport),
        }
    }
}

/// Names of one length below `prefix`.
fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

/// The mode's name on the command line.
pub(crate) fn mode_name(mode: Mode) -> String {
    use clap::ValueEnum as _;
    mode.to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
