//! What a peer sends us, turned from str0m's words into the forwarder's.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use str0m::Rtc;
use str0m::media::Mid;
use str0m::rtp::{ExtensionValues as StrExtensionValues, RtpPacket};
use str0m::stats::MediaIngressStats;

use crate::border::{AbsCaptureTime, ExtensionValues, SourcePacket, TrackSpec};
use crate::negotiation::{Kind, ReceivedMedia, Receiving};
use crate::rtcp::{self, Report};

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// The tracks that a peer sends, in the order of the negotiation.
#[derive(Debug)]
pub struct InboundTracks {
    tracks: Vec<InboundTrack>,
}

#[derive(Debug)]
struct InboundTrack {
    mid: Mid,
    payload_type: u8,
    rtx: Option<u8>,
    spec: TrackSpec,
    ssrc: Option<u32>,
    rtx_ssrc: Option<u32>,
    figures: Option<MediaIngressStats>,
    /// The peer said BYE for it.
    ended: bool,
}

impl InboundTracks {
    #[must_use]
    pub fn new(receiving: &Receiving) -> Self {
        Self { tracks: receiving.media.iter().map(InboundTrack::new).collect() }
    }

    /// What the forwarder is told of them.
    #[must_use]
    pub fn specs(&self) -> Vec<TrackSpec> {
        self.tracks.iter().map(|track| track.spec.clone()).collect()
    }

    /// The names of their sections, in order.
    #[must_use]
    pub fn mids(&self) -> Vec<String> {
        self.tracks.iter().map(|track| track.mid.to_string()).collect()
    }

    /// Kind and payload type of the first.
    #[must_use]
    pub fn first(&self) -> Option<(Kind, u8)> {
        self.tracks.first().map(|track| (track.spec.kind, track.payload_type))
    }

    /// The index of the track with this mid.
    #[must_use]
    pub fn with_mid(&self, mid: Mid) -> Option<usize> {
        self.tracks.iter().position(|track| track.mid == mid)
    }

    /// The index of the track that `packet` belongs to; notes its SSRC.
    pub fn of_packet(&mut self, rtc: &mut Rtc, packet: &RtpPacket) -> Option<usize> {
        let ssrc = packet.header.ssrc;
        if let Some(index) = self.tracks.iter().position(|track| track.ssrc == Some(*ssrc)) {
            return Some(index);
        }
        let mid = rtc.direct_api().stream_rx(&ssrc)?.mid();
        let index = self.with_mid(mid)?;
        self.tracks[index].ssrc = Some(*ssrc);
        Some(index)
    }

    /// The SSRC on which track `index` arrives.
    #[must_use]
    pub fn ssrc(&self, index: usize) -> Option<u32> {
        self.tracks.get(index)?.ssrc
    }

    /// Tell str0m about an SSRC that the peer neither signalled nor marked with a mid: the payload type says whose it is.
    pub fn learn_ssrc(&mut self, rtc: &mut Rtc, datagram: &[u8]) {
        let Some(header) = datagram.first_chunk::<12>() else { return };
        let payload_type = header[1] & 0x7f;
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if self.tracks.iter().any(|track| track.ssrc == Some(ssrc) || track.rtx_ssrc == Some(ssrc)) {
            return;
        }
        for track in &mut self.tracks {
            if track.payload_type == payload_type && track.ssrc.is_none() {
                track.ssrc = Some(ssrc);
                rtc.direct_api().expect_stream_rx(ssrc.into(), None, track.mid, None);
            } else if let (true, Some(main), None) = (track.rtx == Some(payload_type), track.ssrc, track.rtx_ssrc) {
                track.rtx_ssrc = Some(ssrc);
                rtc.direct_api().expect_stream_rx(main.into(), Some(ssrc.into()), track.mid, None);
            }
        }
    }

    /// Read an opened RTCP packet. True: the peer has said BYE for every track (one alone may only pause).
    pub fn all_ended(&mut self, compound: &[u8]) -> bool {
        for report in rtcp::parse(compound) {
            if let Report::Bye { ssrc } = report {
                self.tracks.iter_mut().filter(|track| track.ssrc == Some(ssrc)).for_each(|track| track.ended = true);
            }
        }
        self.tracks.iter().all(|track| track.ended)
    }

    pub fn note_figures(&mut self, figures: MediaIngressStats) {
        if let Some(index) = self.with_mid(figures.mid) {
            self.tracks[index].figures = Some(figures);
        }
    }

    /// NACKs and PLIs that we sent, and the worst loss in the latest reports.
    #[must_use]
    pub fn figures(&self) -> (u64, u64, Option<f64>) {
        let figures = || self.tracks.iter().filter_map(|track| track.figures.as_ref());
        let loss = figures().filter_map(|f| f.loss).map(f64::from).reduce(f64::max);
        (figures().map(|f| f.nacks).sum(), figures().map(|f| f.plis).sum(), loss)
    }
}

impl InboundTrack {
    fn new(media: &ReceivedMedia) -> Self {
        let format = &media.payload.format;
        Self {
            mid: Mid::from(media.mid.as_str()),
            payload_type: media.payload.payload_type,
            rtx: media.payload.rtx,
            spec: TrackSpec {
                kind: media.kind,
                codec: format.codec,
                clock_rate: format.codec.clock_rate(),
                fmtp: format.fmtp.clone(),
                pli: media.payload.pli,
            },
            ssrc: media.ssrc,
            rtx_ssrc: media.rtx_ssrc,
            figures: None,
            ended: false,
        }
    }
}

/// A decrypted packet as the forwarder wants it.
#[must_use]
pub fn source_packet(packet: RtpPacket) -> SourcePacket {
    SourcePacket {
        sequence: *packet.seq_no,
        timestamp: packet.header.timestamp,
        marker: packet.header.marker,
        extensions: extensions(&packet.header.ext_vals),
        payload: packet.payload,
    }
}

/// A wall-clock time as NTP writes it: 32.32 seconds since 1900.
#[must_use]
pub fn ntp(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((since.as_secs() + NTP_TO_UNIX) << 32) | fraction
}

fn extensions(values: &StrExtensionValues) -> ExtensionValues {
    ExtensionValues {
        abs_capture_time: values
            .abs_capture_time
            .map(|time| AbsCaptureTime { timestamp: ntp(time.capture_time), clock_offset: time.clock_offset }),
        audio_level: values.audio_level.map(|level| {
            // RFC 6464: the voice bit, then how many dB below full scale.
            let voice = u8::from(values.voice_activity == Some(true)) << 7;
            voice | level.unsigned_abs().min(127)
        }),
        orientation: values.video_orientation.map(|orientation| orientation as u8),
        dependency_descriptor: None::<Arc<[u8]>>,
    }
}
