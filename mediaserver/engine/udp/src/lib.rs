//! System calls of the engine: UDP sockets in batches, readiness and waking. The only crate with unsafe code.

mod address;
mod poll;
mod receive;
mod send;
mod socket;

pub use poll::{Poller, Ready, Waker};
pub use receive::Receiver;
pub use send::{Outgoing, Progress, SendCounters, Sender};
pub use socket::{Buffers, bind, bind_group, connect, same_family};
