//! What a viewer missed, sent again from the source's history.

use std::net::SocketAddr;

use super::{Turn, Viewer};
use crate::mapping::Segment;
use crate::outbox::Outbox;
use crate::repair::Repair;
use crate::ring::Packet;
use crate::srtp::IndexUse;

impl Viewer {
    pub(super) fn send_repair(&mut self, repair: Repair, destination: SocketAddr, turn: &mut Turn<'_>) {
        #[allow(clippy::cast_possible_truncation)] // The low bits are resolved again.
        let Some((number, segment, sequence)) = self.tracks[repair.track].mapping.resolve(repair.number as u16) else {
            return;
        };
        let source = turn.sources.get(segment.source.0).and_then(|source| source.tracks.get(segment.track));
        let Some(packet) = source.and_then(|track| track.ring.get(sequence)).filter(|_| number == repair.number) else {
            return;
        };
        if !self.repairs.spend(packet.payload.len() + 40, self.stats.bytes) {
            return;
        }
        let start = turn.outbox.bytes.len();
        let sealed = self.seal_repair(repair.track, &segment, packet, number, turn.outbox);
        if sealed {
            turn.outbox.commit(turn.id, destination, start);
            turn.outbox.close_run();
            self.stats.repaired += 1;
        }
    }

    /// As RTX where the viewer has it, else the packet itself where that is allowed.
    fn seal_repair(&mut self, at: usize, segment: &Segment, packet: &Packet, number: u64, outbox: &mut Outbox) -> bool {
        let start = outbox.bytes.len();
        let track = &mut self.tracks[at];
        if let Some((unsealed, own)) = track.write_rtx(&mut outbox.bytes, segment, packet, number, &mut self.stamps) {
            return self.sealer.seal_rtp(&mut outbox.bytes, start, unsealed, own, IndexUse::First);
        }
        if !track.repeats_plainly(segment) {
            return false;
        }
        let again = self.sealer.was_sealed(track.ssrc, number);
        let unsealed = track.write(&mut outbox.bytes, segment, packet, number, &mut self.stamps);
        let index_use = if again { IndexUse::Again } else { IndexUse::First };
        self.sealer.seal_rtp(&mut outbox.bytes, start, unsealed, number, index_use)
    }
}
