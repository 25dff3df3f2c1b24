//! One WebRTC client on str0m: full ICE and DTLS, a socket of its own, media as RTP.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rivulet_core::dtls::Crypto;
use rivulet_udp::{Buffers, bind};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

pub struct Peer {
    pub rtc: Rtc,
    pub socket: UdpSocket,
    pub deadline: Instant,
    pub audio: Mid,
    pub video: Mid,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
}

impl Peer {
    /// A client `at` this address with both tracks in one direction, and its offer.
    pub fn offer(crypto: &Crypto, at: IpAddr, direction: Direction) -> io::Result<(Self, String)> {
        let socket = bind(SocketAddr::new(at, 0), Buffers { send: None, receive: Some(2 << 20) })?;
        let local = socket.local_addr()?;
        let now = Instant::now();
        let mut rtc = Rtc::builder()
            .set_crypto_provider(crypto.provider(false))
            .set_dtls_cert(crypto.certificate.clone())
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_h264(true)
            .enable_opus(true, false)
            .build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").map_err(io::Error::other)?);
        let mut changes = rtc.sdp_api();
        // One MediaStream (RFC 9725, 4.4.2).
        let stream = || Some("bench".to_owned());
        let audio = changes.add_media(MediaKind::Audio, direction, stream(), None, None);
        let video = changes.add_media(MediaKind::Video, direction, stream(), None, None);
        let (offer, pending) = changes.apply().ok_or_else(|| io::Error::other("an offer without changes"))?;
        let offer = offer.to_sdp_string();
        Ok((Self { rtc, socket, deadline: now, audio, video, local, pending: Some(pending) }, offer))
    }

    /// Take the answer to the offer.
    pub fn accept(&mut self, answer: &str) -> io::Result<()> {
        let answer = SdpAnswer::from_sdp_string(answer).map_err(io::Error::other)?;
        let pending = self.pending.take().ok_or_else(|| io::Error::other("an answer without an offer"))?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(io::Error::other)
    }

    /// The payload type that the peer takes or sends for a codec on `mid`.
    pub fn payload_type(&self, mid: Mid, codec: Codec) -> Option<Pt> {
        let agreed = self.rtc.media(mid)?.remote_pts();
        let params = self.rtc.codec_config().params();
        agreed.iter().copied().find(|pt| params.iter().any(|p| p.pt() == *pt && p.spec().codec == codec))
    }

    pub fn receive(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) -> io::Result<()> {
        let Ok(contents) = bytes.try_into() else { return Ok(()) };
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).map_err(io::Error::other)
    }

    pub fn time_out(&mut self, now: Instant) -> io::Result<()> {
        self.rtc.handle_input(Input::Timeout(now)).map_err(io::Error::other)
    }

    /// Send what is to be sent and hand out what has happened.
    pub fn drain(&mut self, mut on_event: impl FnMut(Event)) -> io::Result<()> {
        loop {
            match self.rtc.poll_output().map_err(io::Error::other)? {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return Ok(());
                }
                // A datagram that does not go out is as good as lost.
                Output::Transmit(out) => drop(self.socket.send_to(&out.contents, out.destination)),
                Output::Event(event) => on_event(event),
            }
        }
    }
}

/// How long to wait for `deadline`, at most `limit`.
pub fn until(deadline: Instant, limit: Duration) -> Duration {
    deadline.saturating_duration_since(Instant::now()).min(limit)
}
