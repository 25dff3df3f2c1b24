//! System calls of the engine: UDP sockets in batches, TCP sockets, readiness and waking. Of the engine's crates only this and `hot` have unsafe code.

mod address;
mod poll;
mod receive;
mod send;
mod socket;
mod tcp;

pub use poll::{Poller, Ready, Waker};
pub use receive::Receiver;
pub use send::{Outgoing, Progress, SendCounters, Sender};
pub use socket::{Buffers, Cut, bind, bind_group, connect, same_family};
pub use tcp::{accept, dial, listen, use_congestion_control};
