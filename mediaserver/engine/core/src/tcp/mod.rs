//! Media over TCP (RFC 6544, RFC 4571): names of connections, framing, and what may wait in one. Sockets are the shell's.

mod address;
mod framing;
mod queue;

use crate::session::is_srtp;
use crate::stun;

pub use address::{Connections, MAX_NUMBER, named, number, plain};
pub use framing::{Deframer, MAX_FRAME, Oversized, frame};
pub use queue::{CHUNK, KEY_FRAME_LIMIT, Lane, QUEUE_LIMIT, RELAY_KEY_FRAME_LIMIT, RELAY_VIDEO_LIMIT, SendQueue};

/// Whether a datagram is STUN, DTLS, SRTP or SRTCP by its first byte (RFC 7983).
#[must_use]
pub fn is_of_webrtc(datagram: &[u8]) -> bool {
    stun::looks_like(datagram) || is_srtp(datagram) || datagram.first().is_some_and(|byte| (20..64).contains(byte))
}
