//! What a viewer is told by RTCP: sender reports, and the end.

use std::net::SocketAddr;

use smallvec::SmallVec;

use super::{Turn, Viewer};
use crate::border::ViewerId;
use crate::outbox::Outbox;
use crate::outgoing::Outgoing;
use crate::rtcp::{self, SenderReport};

impl Viewer {
    /// Sender reports of all tracks that play, and their common name, in one compound packet.
    pub(super) fn send_report(&mut self, destination: SocketAddr, turn: &mut Turn<'_>) {
        self.reports.sent(turn.now);
        let start = turn.outbox.bytes.len();
        let mut ssrcs = SmallVec::<[u32; 4]>::new();
        for track in &self.tracks {
            if let Some(timestamp) = report_timestamp(track, turn) {
                let (packets, bytes) = (track.packets, track.payload_bytes);
                let report = SenderReport { ssrc: track.ssrc, ntp: turn.ntp, timestamp, packets, bytes };
                rtcp::write_sender_report(&mut turn.outbox.bytes, report);
                ssrcs.push(track.ssrc);
            }
        }
        if ssrcs.is_empty() {
            return;
        }
        rtcp::write_description(&mut turn.outbox.bytes, &ssrcs, &self.cname);
        self.send_rtcp(start, destination, turn.id, turn.outbox);
    }

    /// Tell the peer that we are done.
    pub fn send_bye(&mut self, id: ViewerId, outbox: &mut Outbox) {
        let ssrcs: Vec<u32> = self.tracks.iter().map(|track| track.ssrc).collect();
        let (Some(destination), Some(first)) = (self.destination, ssrcs.first()) else { return };
        let start = outbox.bytes.len();
        rtcp::write_empty_report(&mut outbox.bytes, *first);
        rtcp::write_description(&mut outbox.bytes, &ssrcs, &self.cname);
        rtcp::write_bye(&mut outbox.bytes, &ssrcs);
        self.send_rtcp(start, destination, id, outbox);
    }

    fn send_rtcp(&mut self, start: usize, destination: SocketAddr, id: ViewerId, outbox: &mut Outbox) {
        if self.sealer.seal_rtcp(&mut outbox.bytes, start) {
            outbox.commit(id, destination, start);
        }
    }
}

/// The viewer's timestamp of what is captured now; None while the track does not play.
fn report_timestamp(track: &Outgoing, turn: &Turn<'_>) -> Option<u32> {
    let segment = track.mapping.current()?;
    let source = turn.sources.get(segment.source.0).filter(|source| !source.silent)?;
    Some(source.timeline.timestamp(segment.track, turn.ntp)?.wrapping_add(segment.timestamp_offset))
}
