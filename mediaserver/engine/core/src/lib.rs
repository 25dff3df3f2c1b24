//! Packet rules of the Rivulet engine: pure, no system calls, no clock.
#![forbid(unsafe_code)]
pub mod negotiation;
pub mod dtls;
pub mod stun;
