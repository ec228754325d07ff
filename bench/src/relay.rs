//! The yardstick of the floor server: bytes from one bare socket to another, one blocking read of
//! the same size as the floor's, one write. Looks at nothing.
//!
//! The first byte on a connection says which end it is; ends are paired in the order of arrival.

use crate::wire::READ;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// First byte of a connection whose bytes are to be copied.
pub(crate) const SENDER: u8 = b's';
/// First byte of a connection that gets the bytes of a sender; echoed once it is known.
pub(crate) const RECEIVER: u8 = b'r';

/// Serves one pair after the other on loopback until the process ends.
pub(crate) fn run(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let mut buffer = vec![0; READ];
    let (mut sender, mut receiver) = (None, None);
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut end = [0];
        match stream.read_exact(&mut end) {
            Ok(()) if end == [SENDER] => sender = Some(stream),
            Ok(()) if end == [RECEIVER] && stream.write_all(&end).is_ok() => {
                receiver = Some(stream);
            }
            // Somebody who only looked whether the port is open.
            _ => {}
        }
        if let (Some(from), Some(to)) = (&mut sender, &mut receiver) {
            copy(from, to, &mut buffer);
            (sender, receiver) = (None, None);
        }
    }
}

/// Copies until either end is gone: the pair's run is over then.
fn copy(from: &mut TcpStream, to: &mut TcpStream, buffer: &mut [u8]) {
    while let Ok(got @ 1..) = from.read(buffer) {
        if to.write_all(buffer.get(..got).unwrap_or_default()).is_err() {
            return;
        }
    }
}
