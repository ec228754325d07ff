//! The actors of Rewamp: `Session` (one per connection), `Realm` (one per realm, with the Broker,
//! the Dealer, the roles and the meta API) and `History` (one per realm that keeps its past).
//! Knows no socket and no configuration file: transports hand in streams of frames, the node hands
//! in checked settings.

pub mod session; // a frame arrives
pub mod auth; // who is it
pub mod router; // which realm does it want
pub mod realm; // may it, and which place in the order does it get
pub mod broker; // who receives it
pub mod dealer; // who answers it
pub mod meta; // what the router answers itself
pub mod history; // what is remembered
pub mod turns; // how much is at work in stores
pub mod metrics; // what is counted
pub mod clock; // what time it is
