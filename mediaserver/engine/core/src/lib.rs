//! Packet rules of the Rivulet engine: pure, no system calls, no clock.
#![forbid(unsafe_code)]
pub mod negotiation;
pub mod dtls;
pub mod stun;
pub mod border;
pub mod egress;
pub mod forwarder;
mod slots;
pub mod srtp;
pub mod session;
pub mod rtp;
pub mod node;
pub mod rtcp;
pub mod key_frame;
pub mod ring;
pub mod mapping;
pub mod gather;
pub mod runs;
pub mod timeline;
pub mod pli_budget;
pub mod pacing;
