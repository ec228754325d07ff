//! Level-triggered epoll, the thinnest wrapper that serves the floor server and the generator.

use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Most sockets that one wait reports.
const REPORTED: usize = 256;

/// Watches sockets for being readable and, where asked, writable.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// One socket that has something to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The token given with `watch`.
    pub(crate) token: usize,
    /// A read returns at once: data, the end or an error.
    pub(crate) readable: bool,
    /// A write takes at least one byte.
    pub(crate) writable: bool,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(REPORTED),
        })
    }

    /// Watches `socket` for being readable; its events carry `token`.
    pub(crate) fn watch(&self, socket: impl AsFd, token: usize) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token as u64);
        Ok(epoll::add(&self.epoll, socket, data, interest(false))?)
    }

    /// Begins or ends watching `socket` for being writable too.
    pub(crate) fn watch_writable(
        &self,
        socket: impl AsFd,
        token: usize,
        writable: bool,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token as u64);
        Ok(epoll::modify(
            &self.epoll,
            socket,
            data,
            interest(writable),
        )?)
    }

    /// Waits for at least one socket, at most `timeout`; replaces `ready`.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        self.events.clear();
        ready.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let over = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        ready.extend(self.events.iter().map(|event| {
            // Copied out: the kernel's struct is packed.
            let (data, flags) = (event.data, event.flags);
            Ready {
                token: data.u64() as usize,
                readable: flags.intersects(epoll::EventFlags::IN | over),
                writable: flags.intersects(epoll::EventFlags::OUT | over),
            }
        }));
        Ok(())
    }
}

fn interest(writable: bool) -> epoll::EventFlags {
    if writable {
        epoll::EventFlags::IN | epoll::EventFlags::OUT
    } else {
        epoll::EventFlags::IN
    }
}
