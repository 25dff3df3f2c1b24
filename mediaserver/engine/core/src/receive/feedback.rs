//! What a receiver tells the peer, sealed: what is missing, reports, wishes for key frames and layers, its end.

use std::time::{Duration, Instant};

use super::{Peer, Received, Receiver};
use crate::rtcp;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Numbers asked for in one packet: 4 bytes each at worst.
const MAX_ASKED: usize = 250;

impl Receiver {
    /// Ask the peer for a key frame of `track` (RFC 4585, 6.3.1).
    pub fn request_key_frame(&mut self, track: usize) {
        let own = self.ssrc;
        if let Some(ssrc) = self.tracks.get(track).and_then(|track| track.ssrc)
            && self.send(|buffer| rtcp::write_pli(buffer, own, ssrc))
        {
            self.figures.plis += 1;
        }
    }

    /// Have the peer, another node, send a layer or send it no more.
    pub fn want_layer(&mut self, track: usize, wanted: bool) {
        let Some(layer) = self.tracks.get_mut(track).filter(|track| track.spec.layer.is_some()) else { return };
        layer.paused = !wanted;
        layer.pauses = layer.pauses.wrapping_add(1);
        self.say_what_is_wanted();
    }

    /// Which layers are wanted (RFC 7728); said again with each report, for it may get lost.
    fn say_what_is_wanted(&mut self) {
        let layers = self.tracks.iter().filter(|track| self.peer != Peer::Client && track.pauses > 0);
        let wishes: Vec<_> = layers.filter_map(|track| Some((track.ssrc?, track.paused, track.pauses))).collect();
        if !wishes.is_empty() {
            let own = self.ssrc;
            self.send(|buffer| {
                for (ssrc, paused, id) in wishes {
                    rtcp::write_pause(buffer, own, ssrc, paused, id);
                }
            });
        }
    }

    /// Tell the peer that we are gone.
    pub fn say_bye(&mut self) {
        let own = self.ssrc;
        self.send(|buffer| rtcp::write_bye(buffer, &[own]));
    }

    pub(super) fn ask_for_missing(&mut self, now: Instant) {
        let (own, round_trip) = (self.ssrc, self.round_trip.or_default());
        for at in 0..self.tracks.len() {
            let track = &mut self.tracks[at];
            let due = track.missing.due(now, round_trip);
            let (Some(ssrc), true) = (track.ssrc, track.nack()) else { continue };
            let offset = track.offset;
            self.figures.given_up += due.given_up;
            if due.needs_key_frame {
                self.outputs.push_back(Received::NeedsKeyFrame { track: at });
            }
            for asked in due.ask.chunks(MAX_ASKED) {
                #[allow(clippy::cast_possible_truncation, reason = "the low bits are the sequence number")]
                let lost: Vec<u16> = asked.iter().map(|sequence| (sequence - offset) as u16).collect();
                if self.send(|buffer| rtcp::write_nack(buffer, own, ssrc, &lost)) {
                    self.figures.nacks += lost.len() as u64;
                }
            }
        }
    }

    /// A receiver report of all tracks, with our name.
    pub(super) fn report(&mut self, now: Instant) {
        self.next_report = Some(now + REPORT_INTERVAL);
        let blocks: Vec<_> = self
            .tracks
            .iter_mut()
            .filter_map(|track| Some(track.arrivals.as_mut()?.report(track.ssrc?, now)))
            .collect();
        self.figures.loss = blocks.iter().map(|block| f64::from(block.fraction_lost) / 256.0).reduce(f64::max);
        let (own, cname) = (self.ssrc, self.cname.clone());
        self.seal(|buffer| {
            rtcp::write_receptions(buffer, own, &blocks);
            rtcp::write_description(buffer, &[own], &cname);
        });
        self.say_what_is_wanted();
    }

    /// Send one feedback packet, behind an empty report where the peer does not take it alone.
    pub(super) fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let (own, reduced) = (self.ssrc, self.reduced);
        self.seal(|buffer| {
            if !reduced {
                rtcp::write_empty_report(buffer, own);
            }
            write(buffer);
        })
    }

    fn seal(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(keyed) = &mut self.keyed else { return false };
        let mut datagram = Vec::new();
        write(&mut datagram);
        let sealed = keyed.sealer.seal_rtcp(&mut datagram, 0);
        if sealed {
            self.outputs.push_back(Received::Feedback(datagram));
        }
        sealed
    }
}
