//! A session's packets as lines of JSON: headers of RTP, RTCP, ICE and DTLS, never a payload.
//!
//! Invariant: at most `room` bytes are ever written but for the last line, at most `UNREAD` wait to be read, and after the line that says `end` none comes.

mod words;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Instant;

use crate::border::WallClock;
use crate::session::{is_rtp, is_srtp};
use crate::srtp::{Opener, SrtpKeys};
use crate::stun;

/// What nobody has read yet; lines beyond it are dropped and counted.
const UNREAD: usize = 1024 * 1024;
/// Kept back so that the last line always fits.
const LAST_LINE: usize = 128;

/// Which way a datagram goes, seen from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// How long and how large a trace may become.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub until: Instant,
    /// Bytes of all lines together.
    pub room: usize,
}

#[derive(Debug)]
pub struct Trace {
    bounds: Bounds,
    clock: WallClock,
    /// Read RTCP of the peer, and our own, once more: neither opens anything for the session.
    rtcp: Option<(Opener, Opener)>,
    lines: String,
    dropped: u64,
    over: bool,
}

impl Trace {
    /// `keys`: where the handshake is done already.
    #[must_use]
    pub fn new(bounds: Bounds, clock: WallClock, keys: Option<&SrtpKeys>) -> Self {
        Self { bounds, clock, rtcp: keys.map(openers), lines: String::new(), dropped: 0, over: false }
    }

    /// Whether the last line is written.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The lines since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    /// The handshake is done.
    pub fn connected(&mut self, keys: &SrtpKeys, now: Instant) {
        self.rtcp = Some(openers(keys));
        self.event("connected", &format!("{:?}", keys.profile), now);
    }

    /// Something that the session has found out.
    pub fn event(&mut self, name: &str, detail: &str, now: Instant) {
        let mut line = self.begin(now);
        let _ = write!(line, r#","kind":"session","event":"{name}","detail":"{detail}"}}"#);
        self.push(&line, now);
    }

    pub fn datagram(&mut self, direction: Direction, peer: SocketAddr, datagram: &[u8], now: Instant) {
        if self.over {
            return;
        }
        let mut line = self.begin(now);
        let way = if direction == Direction::In { "in" } else { "out" };
        let _ = write!(line, r#","dir":"{way}","peer":"{peer}","size":{}"#, datagram.len());
        if stun::looks_like(datagram) {
            words::stun(&mut line, datagram);
        } else if is_rtp(datagram) {
            words::rtp(&mut line, datagram);
        } else if is_srtp(datagram) {
            words::rtcp(&mut line, self.open(direction, datagram).as_deref());
        } else {
            words::dtls(&mut line, datagram);
        }
        line.push('}');
        self.push(&line, now);
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.bounds.until
    }

    /// The last line; later ends say nothing.
    pub fn end(&mut self, reason: &str, now: Instant) {
        if !self.over {
            self.over = true;
            let mut line = self.begin(now);
            let _ = write!(line, r#","kind":"end","reason":"{reason}","dropped":{}}}"#, self.dropped);
            self.lines.push_str(&line);
            self.lines.push('\n');
        }
    }

    fn open(&mut self, direction: Direction, datagram: &[u8]) -> Option<Vec<u8>> {
        let (theirs, ours) = self.rtcp.as_mut()?;
        let opener = if direction == Direction::In { theirs } else { ours };
        let mut packet = datagram.to_vec();
        let len = opener.open_rtcp(&mut packet)?;
        packet.truncate(len);
        Some(packet)
    }

    /// Every line begins with the wall clock, in seconds since 1970.
    fn begin(&self, now: Instant) -> String {
        let at = self.clock.since_unix_epoch + now.saturating_duration_since(self.clock.at);
        format!(r#"{{"t":{}.{:06}"#, at.as_secs(), at.subsec_micros())
    }

    fn push(&mut self, line: &str, now: Instant) {
        let size = line.len() + 1;
        if now >= self.bounds.until {
            self.end("time", now);
        } else if size + LAST_LINE > self.bounds.room {
            self.end("size", now);
        } else if self.lines.len() + size > UNREAD {
            self.dropped += 1;
        } else if !self.over {
            self.bounds.room -= size;
            self.lines.push_str(line);
            self.lines.push('\n');
        }
    }
}

/// Of the peer's packets, and of ours.
fn openers(keys: &SrtpKeys) -> (Opener, Opener) {
    let mirrored = SrtpKeys { profile: keys.profile, local: keys.remote.clone(), remote: keys.local.clone() };
    (Opener::new(keys), Opener::new(&mirrored))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rtcp;
    use crate::srtp::{MasterKey, Sealer, SrtpProfile};

    const PEER: ([u8; 4], u16) = ([192, 0, 2, 1], 5000);

    fn keys() -> SrtpKeys {
        let key = |byte| MasterKey { key: vec![byte; 16], salt: vec![byte; 12] };
        SrtpKeys { profile: SrtpProfile::AeadAes128Gcm, local: key(1), remote: key(2) }
    }

    fn trace(room: usize, now: Instant) -> Trace {
        let clock = WallClock { at: now, since_unix_epoch: Duration::from_millis(1_764_000_000_500) };
        Trace::new(Bounds { until: now + Duration::from_secs(10), room }, clock, Some(&keys()))
    }

    fn rtp(extension: bool) -> Vec<u8> {
        let mut packet = vec![0x80, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5];
        if extension {
            packet[0] = 0x90;
            packet.extend([0xbe, 0xde, 0, 1, 0x11, 0xab, 0xcd, 0]);
        }
        packet.extend(b"never a payload");
        packet
    }

    #[test]
    fn rtp_is_its_header() {
        let now = Instant::now();
        let mut trace = trace(10_000, now);
        trace.datagram(Direction::Out, PEER.into(), &rtp(true), now + Duration::from_micros(1));
        let expected = concat!(
            r#"{"t":1764000000.500001,"dir":"out","peer":"192.0.2.1:5000","size":35,"kind":"rtp","#,
            r#""ssrc":5,"pt":96,"seq":7,"ts":9,"marker":true,"header":20,"ext":{"1":"abcd"}}"#,
            "\n"
        );
        assert_eq!(trace.take(), expected);
    }

    #[test]
    fn rtcp_is_opened_in_both_directions_and_only_once_more() {
        let now = Instant::now();
        let mut trace = trace(10_000, now);
        let mirrored = SrtpKeys { local: keys().remote, remote: keys().local, ..keys() };
        for (direction, keys) in [(Direction::In, mirrored), (Direction::Out, keys())] {
            let mut packet = Vec::new();
            rtcp::write_empty_report(&mut packet, 5);
            rtcp::write_nack(&mut packet, 5, 6, &[7, 9]);
            assert!(Sealer::new(&keys).seal_rtcp(&mut packet, 0));
            trace.datagram(direction, PEER.into(), &packet, now);
            let line = trace.take();
            assert!(
                line.contains(r#"{"type":"rr","ssrc":5,"blocks":[]},{"type":"nack","ssrc":5,"media":6,"lost":[7,9]}"#),
                "{line}"
            );
        }
    }

    #[test]
    fn what_cannot_be_opened_is_named_and_not_guessed() {
        let now = Instant::now();
        let mut trace = trace(10_000, now);
        trace.datagram(Direction::In, PEER.into(), &[0x80, 200, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9], now);
        assert!(trace.take().ends_with("\"kind\":\"rtcp\",\"sealed\":true}\n"));
    }

    #[test]
    fn a_trace_ends_at_its_time_and_says_nothing_after() {
        let now = Instant::now();
        let mut trace = trace(10_000, now);
        trace.datagram(Direction::In, PEER.into(), &rtp(false), now + Duration::from_secs(10));
        assert!(trace.is_over());
        assert!(trace.take().contains(r#""kind":"end","reason":"time""#));
        trace.datagram(Direction::In, PEER.into(), &rtp(false), now);
        trace.end("stopped", now);
        assert_eq!(trace.take(), "");
    }

    #[test]
    fn a_trace_never_grows_above_its_room() {
        let now = Instant::now();
        let mut trace = trace(1_000, now);
        for _ in 0..100 {
            trace.datagram(Direction::In, PEER.into(), &rtp(false), now);
        }
        let text = trace.take();
        assert!(trace.is_over());
        assert!(text.len() <= 1_000, "{}", text.len());
        assert!(text.ends_with("\"kind\":\"end\",\"reason\":\"size\",\"dropped\":0}\n"), "{text}");
    }

    #[test]
    fn what_nobody_reads_is_dropped_and_counted() {
        let now = Instant::now();
        let mut trace = trace(usize::MAX, now);
        for _ in 0..20_000 {
            trace.datagram(Direction::In, PEER.into(), &rtp(false), now);
        }
        assert!(trace.take().len() <= UNREAD);
        trace.end("stopped", now);
        assert!(!trace.take().contains(r#""dropped":0"#));
    }

    #[test]
    fn no_bytes_make_it_stumble() {
        let now = Instant::now();
        let mut trace = trace(usize::MAX, now);
        let mut random = 1_u64;
        for len in (0..64).cycle().take(20_000) {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    random.to_be_bytes()[0]
                })
                .collect();
            words::everything(&bytes);
            trace.datagram(Direction::In, PEER.into(), &bytes, now);
            trace.take();
        }
    }
}
