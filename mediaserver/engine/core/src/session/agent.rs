//! Building str0m's `Rtc` for a session: always a full ICE agent, never with candidates of the peer's choosing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::config::Fingerprint;
use str0m::format::{Codec as StrCodec, FormatParams};
use str0m::media::Frequency;
use str0m::rtp::Extension as StrExtension;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use crate::dtls::{Crypto, KeyTap, take_latest_tap};
use crate::negotiation::{Codec, Extension, LocalTransport, PeerTransport, Receiving, Refusal, Setup};

/// How often str0m reports the figures of what it receives.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// An agent for a session where the peer sends: str0m decrypts, repairs and reports.
///
/// # Errors
/// `Malformed` when str0m does not take what was negotiated.
pub fn receiving(
    crypto: &Crypto,
    local: &LocalTransport,
    receiving: &Receiving,
    now: Instant,
) -> Result<(Rtc, KeyTap), Refusal> {
    let mut config = base(crypto, local, false)
        .set_rtp_mode(true)
        .set_stats_interval(Some(STATS_INTERVAL))
        .clear_codecs()
        .clear_extension_map();
    for media in &receiving.media {
        let payload = &media.payload;
        let (codec, rate, channels) = codec(payload.format.codec);
        let format = FormatParams::parse_line(fmtp(payload.format.codec));
        let rtx = payload.rtx.map(Into::into);
        config.codec_config().add_config(payload.payload_type.into(), rtx, codec, rate, channels, format);
        for (extension, id) in media.extensions.iter() {
            if let Some(known) = known_extension(extension) {
                config.extension_map().set(id, known);
            }
        }
    }
    let (mut rtc, tap) = build(config, local, now)?;
    let offer = SdpOffer::from_sdp_string(&narrowed_offer(receiving))
        .map_err(|error| Refusal::malformed(format!("the SDP cannot be used: {error}")))?;
    rtc.sdp_api()
        .accept_offer(offer)
        .map_err(|error| Refusal::malformed(format!("the SDP cannot be used: {error}")))?;
    Ok((rtc, tap))
}

/// An agent for a session where we send: str0m does ICE and DTLS and never sees a key.
///
/// # Errors
/// `Malformed` when str0m does not take the peer's transport.
pub fn sending(
    crypto: &Crypto,
    local: &LocalTransport,
    peer: &PeerTransport,
    now: Instant,
) -> Result<(Rtc, KeyTap), Refusal> {
    let config = base(crypto, local, true).set_rtp_mode(true).clear_codecs();
    let (mut rtc, tap) = build(config, local, now)?;
    let mut api = rtc.direct_api();
    api.set_ice_controlling(false);
    api.set_remote_ice_credentials(IceCreds { ufrag: peer.ufrag.clone(), pass: peer.password.clone() });
    api.set_remote_fingerprint(fingerprint(peer)?);
    api.start_dtls(peer.setup.makes_us_active())
        .map_err(|error| Refusal::malformed(format!("the SDP cannot be used: {error}")))?;
    Ok((rtc, tap))
}

fn base(crypto: &Crypto, local: &LocalTransport, sealed: bool) -> RtcConfig {
    RtcConfig::new()
        .set_crypto_provider(crypto.provider(sealed))
        .set_dtls_cert(crypto.certificate.clone())
        .set_local_ice_credentials(IceCreds { ufrag: local.ufrag.clone(), pass: local.password.clone() })
}

fn build(config: RtcConfig, local: &LocalTransport, now: Instant) -> Result<(Rtc, KeyTap), Refusal> {
    let mut rtc = config.build(now);
    let tap = take_latest_tap().ok_or_else(|| Refusal::malformed("DTLS could not be started"))?;
    for address in &local.candidates {
        if let Ok(candidate) = host(*address) {
            rtc.add_local_candidate(candidate);
        }
    }
    Ok((rtc, tap))
}

/// A host candidate for str0m.
///
/// # Errors
/// `Malformed` for an address that no candidate can have.
pub fn host(address: SocketAddr) -> Result<Candidate, Refusal> {
    Candidate::host(address, "udp").map_err(|error| Refusal::malformed(format!("{address}: {error}")))
}

fn fingerprint(peer: &PeerTransport) -> Result<Fingerprint, Refusal> {
    let (hash, digest) = &peer.fingerprint;
    format!("{hash} {digest}").parse().map_err(|_| Refusal::malformed("a=fingerprint cannot be used"))
}

const fn codec(codec: Codec) -> (StrCodec, Frequency, Option<u8>) {
    match codec {
        Codec::H264 => (StrCodec::H264, Frequency::NINETY_KHZ, None),
        Codec::H265 => (StrCodec::H265, Frequency::NINETY_KHZ, None),
        Codec::Vp8 => (StrCodec::Vp8, Frequency::NINETY_KHZ, None),
        Codec::Vp9 => (StrCodec::Vp9, Frequency::NINETY_KHZ, None),
        Codec::Av1 => (StrCodec::Av1, Frequency::NINETY_KHZ, None),
        Codec::Opus => (StrCodec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2)),
    }
}

/// The parameters that str0m is told, the same on both of its sides: ours are matched by our own rules.
const fn fmtp(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        Codec::Vp9 => "profile-id=0",
        Codec::Av1 => "profile=0",
        Codec::H265 => "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST",
        Codec::Vp8 => "",
        Codec::Opus => "minptime=10;useinbandfec=1",
    }
}

const fn known_extension(extension: Extension) -> Option<StrExtension> {
    match extension {
        Extension::Mid => Some(StrExtension::RtpMid),
        Extension::TransportCc => Some(StrExtension::TransportSequenceNumber),
        Extension::AbsSendTime => Some(StrExtension::AbsoluteSendTime),
        Extension::AbsCaptureTime => Some(StrExtension::AbsoluteCaptureTime),
        Extension::AudioLevel => Some(StrExtension::AudioLevel),
        Extension::Orientation => Some(StrExtension::VideoOrientation),
        Extension::PlayoutDelay => Some(StrExtension::PlayoutDelay),
        Extension::DependencyDescriptor => None,
    }
}

/// The peer's description once more, with only what was chosen and without candidates: what str0m gets to see.
fn narrowed_offer(receiving: &Receiving) -> String {
    let peer = &receiving.peer;
    let setup = match peer.setup {
        Setup::ActPass => "actpass",
        Setup::Active => "active",
        Setup::Passive => "passive",
    };
    let mids: Vec<&str> = receiving.media.iter().map(|m| m.mid.as_str()).collect();
    let mut lines = vec![
        "v=0".to_owned(),
        "o=- 1 1 IN IP4 0.0.0.0".to_owned(),
        "s=-".to_owned(),
        "t=0 0".to_owned(),
        format!("a=group:BUNDLE {}", mids.join(" ")),
        format!("a=fingerprint:{} {}", peer.fingerprint.0, peer.fingerprint.1),
    ];
    for media in &receiving.media {
        let payload = &media.payload;
        let pt = payload.payload_type;
        let rtx = payload.rtx.map(|rtx| format!(" {rtx}")).unwrap_or_default();
        lines.push(format!("m={} 9 UDP/TLS/RTP/SAVPF {pt}{rtx}", media.kind.name()));
        lines.extend(["c=IN IP4 0.0.0.0".to_owned(), "a=rtcp-mux".to_owned(), "a=sendonly".to_owned()]);
        lines.push(format!("a=mid:{}", media.mid));
        lines.push(format!("a=ice-ufrag:{}", peer.ufrag));
        lines.push(format!("a=ice-pwd:{}", peer.password));
        lines.push(format!("a=setup:{setup}"));
        lines.extend(media.extensions.iter().map(|(extension, id)| format!("a=extmap:{id} {}", extension.uri())));
        lines.push(format!("a=rtpmap:{pt} {}", payload.format.codec.rtpmap()));
        let fmtp = fmtp(payload.format.codec);
        lines.extend((!fmtp.is_empty()).then(|| format!("a=fmtp:{pt} {fmtp}")));
        let feedback = [(payload.nack, "nack"), (payload.pli, "nack pli"), (payload.transport_cc, "transport-cc")];
        lines.extend(feedback.iter().filter(|(on, _)| *on).map(|(_, name)| format!("a=rtcp-fb:{pt} {name}")));
        if let Some(rtx) = payload.rtx {
            lines.push(format!("a=rtpmap:{rtx} rtx/{}", payload.format.codec.clock_rate()));
            lines.push(format!("a=fmtp:{rtx} apt={pt}"));
        }
        if let (Some(ssrc), Some(rtx)) = (media.ssrc, media.rtx_ssrc) {
            lines.push(format!("a=ssrc-group:FID {ssrc} {rtx}"));
        }
        lines.extend(media.ssrc.iter().chain(&media.rtx_ssrc).map(|ssrc| format!("a=ssrc:{ssrc} cname:peer")));
    }
    lines.push(String::new());
    lines.join("\r\n")
}
