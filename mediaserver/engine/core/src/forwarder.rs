//! All streams and viewers of one data thread, sans-IO: decrypted source packets in, sealed datagrams out.
//!
//! Invariant: under one (key, SSRC, index) one byte string is ever sealed, whatever the sources do.
//!
//! How a shell drives it:
//! - `start_source` when a publication is negotiated, `on_source_packet` and `on_source_report` for what its session receives,
//!   `end_source` when it ends. A newer source of the same stream takes the stream over with its first packet.
//! - `add_viewer` once the session's keys are known (the stream need not have a source), `set_destination` as ICE decides,
//!   `on_viewer_datagram` with every SRTCP datagram of the viewer, `remove_viewer` at the end. Nobody else seals with these keys.
//! - After any of these, and after `on_timeout(now)` at `next_deadline()`: `poll_transmit`, `poll_source_request` until None,
//!   `poll_event` until None. After `Flow::Blocked`, `poll_transmit` again when the socket is writable.
use std::net::SocketAddr;
use std::time::Instant;
use crate::border::*;
use crate::egress::{Egress, Flow};
use crate::srtp::SrtpKeys;

#[derive(Debug)]
pub struct Forwarder {}
#[allow(unused_variables, clippy::missing_panics_doc)]
impl Forwarder {
    /// `seed`: from the system's random source.
    #[must_use]
    pub fn new(config: ForwarderConfig, clock: WallClock, seed: u64) -> Self { unimplemented!() }
    pub fn start_source(&mut self, stream: &StreamKey, incarnation: &str, kind: SourceKind, tracks: &[TrackSpec], now: Instant) -> SourceId { unimplemented!() }
    pub fn on_source_packet(&mut self, source: SourceId, track: usize, packet: SourcePacket, now: Instant) { unimplemented!() }
    /// A sender report of the source. `ntp`: 32.32 seconds.
    pub fn on_source_report(&mut self, source: SourceId, track: usize, ntp: u64, rtp_timestamp: u32, now: Instant) { unimplemented!() }
    pub fn end_source(&mut self, source: SourceId, now: Instant) { unimplemented!() }
    /// `destination`: None until ICE has proved one; nothing is sent before, and nothing is queued up.
    pub fn add_viewer(&mut self, stream: &StreamKey, spec: ViewerSpec, keys: &SrtpKeys, destination: Option<SocketAddr>, now: Instant) -> ViewerId { unimplemented!() }
    pub fn set_destination(&mut self, viewer: ViewerId, destination: Option<SocketAddr>) { unimplemented!() }
    /// An SRTCP datagram of the viewer, still sealed.
    pub fn on_viewer_datagram(&mut self, viewer: ViewerId, datagram: &[u8], now: Instant) { unimplemented!() }
    pub fn remove_viewer(&mut self, viewer: ViewerId, say_bye: bool, now: Instant) { unimplemented!() }
    #[must_use]
    pub fn viewers_of(&self, stream: &str) -> Vec<ViewerId> { unimplemented!() }
    /// Ask the source on air for a key frame, within the stream's budget.
    pub fn request_key_frame(&mut self, stream: &str, now: Instant) { unimplemented!() }
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> { unimplemented!() }
    pub fn on_timeout(&mut self, now: Instant) { unimplemented!() }
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut dyn Egress) -> Flow { unimplemented!() }
    pub fn poll_source_request(&mut self) -> Option<KeyFrameRequest> { unimplemented!() }
    pub fn poll_event(&mut self) -> Option<ForwarderEvent> { unimplemented!() }
    #[must_use]
    pub fn viewer_stats(&self, viewer: ViewerId, now: Instant) -> Option<ViewerStats> { unimplemented!() }
    #[must_use]
    pub fn source_stats(&self, source: SourceId, now: Instant) -> Option<SourceStats> { unimplemented!() }
    #[must_use]
    pub fn stream_stats(&self, now: Instant) -> Vec<StreamStats> { unimplemented!() }
    #[must_use]
    pub fn totals(&self) -> Totals { unimplemented!() }
}
