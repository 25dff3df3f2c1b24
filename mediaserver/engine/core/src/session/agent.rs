//! Building str0m's `Rtc` for a session: always a full ICE agent, never with candidates of the peer's choosing.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::config::Fingerprint;
use str0m::net::TcpType;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use crate::dtls::{Crypto, KeyTap, take_latest_tap};
use crate::negotiation::{LocalTransport, PeerTransport, Refusal};

/// An agent for one session: str0m does ICE and DTLS and never sees a key.
///
/// # Errors
/// `Malformed` when str0m does not take the peer's transport.
pub fn transport(
    crypto: &Crypto,
    local: &LocalTransport,
    peer: &PeerTransport,
    now: Instant,
) -> Result<(Rtc, KeyTap), Refusal> {
    let credentials = IceCreds { ufrag: local.ufrag.clone(), pass: local.password.clone() };
    let config = RtcConfig::new()
        .set_crypto_provider(crypto.provider(true))
        .set_dtls_cert(crypto.certificate.clone())
        .set_local_ice_credentials(credentials)
        .set_rtp_mode(true)
        .clear_codecs();
    let mut rtc = config.build(now);
    let tap = take_latest_tap().ok_or_else(|| Refusal::malformed("DTLS could not be started"))?;
    for address in &local.candidates {
        for candidate in hosts(*address, (!peer.over_tcp, local.tcp)) {
            rtc.add_local_candidate(candidate);
        }
    }
    let mut api = rtc.direct_api();
    api.set_ice_controlling(false);
    api.set_remote_ice_credentials(IceCreds { ufrag: peer.ufrag.clone(), pass: peer.password.clone() });
    api.set_remote_fingerprint(fingerprint(peer)?);
    api.start_dtls(peer.setup.makes_us_active())
        .map_err(|error| Refusal::malformed(format!("the SDP cannot be used: {error}")))?;
    Ok((rtc, tap))
}

/// Host candidates for str0m, of UDP and of TCP; none for an address that no candidate can have.
pub fn hosts(address: SocketAddr, (udp, tcp): (bool, bool)) -> impl Iterator<Item = Candidate> {
    let passive = Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build();
    let datagrams = Candidate::builder().udp().host(address).build();
    datagrams.ok().filter(|_| udp).into_iter().chain(passive.ok().filter(|_| tcp))
}

fn fingerprint(peer: &PeerTransport) -> Result<Fingerprint, Refusal> {
    let (hash, digest) = &peer.fingerprint;
    format!("{hash} {digest}").parse().map_err(|_| Refusal::malformed("a=fingerprint cannot be used"))
}
