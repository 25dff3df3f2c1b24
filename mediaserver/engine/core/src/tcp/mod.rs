//! Media over TCP (RFC 6544, RFC 4571): names of connections, framing, and what may wait in one. Sockets are the shell's.

mod address;
mod framing;
mod queue;

pub use address::{Connections, MAX_NUMBER, named, number, plain};
pub use framing::{Deframer, MAX_FRAME, Oversized, frame};
pub use queue::{CHUNK, KEY_FRAME_LIMIT, Lane, QUEUE_LIMIT, SendQueue};
