//! The integration tests: the real binary, real sockets, real clients, in one test binary.
//! A module a subject; what they share (nodes, foreign clients, deadlines) is `harness`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says what it expects and fails loudly"
)]

mod harness; // a node to talk to, and foreign programs that talk to it
mod foreign_clients; // Autobahn and Wampy do what their users do
mod crossbar_page; // Crossbar's page on event history, taken at its word
mod earthquakes; // a real data set, a late client, and a node that is killed under both
mod tour; // the programs of the README's five minutes
mod readme; // the examples of its other chapters
mod clean_stop; // SIGTERM: nothing is lost, everybody is told
mod retention; // how long history is kept, and what happens when it is full
mod room; // maxsize holds at every moment
mod crash; // SIGKILL at full rate: what was acknowledged is there
mod power_loss; // the disk forgets what was never synced
mod many_realms; // hundreds of realms, few of them busy
mod store_gone; // a store that does not open
mod failing_disk; // full, broken, read-only, and back
mod readonly; // a store that is served and not changed
mod history_files; // histories as files, and stores made of them
mod recorder; // another router's events, kept
mod followed; // histories that are exported while they grow
mod moving; // out of the real Crossbar
mod crossbar_guide; // there and back, as the guide has it
mod cfxdb; // Crossbar's store: read by Python, shared with Crossbar
mod questions; // walks by cursor, the state of many topics, what there is
mod replay; // the past runs into the live events
mod slow_consumers; // what they are owed stays on disk
mod bad_input; // what no proper client sends
mod bad_websocket; // handshakes and frames, byte by byte
mod crossbar_defects; // what was wrong elsewhere, tried here
mod transports; // where clients come in, from outside
mod deploy; // image, chart and manifests
mod tidy; // rules that a program can check
