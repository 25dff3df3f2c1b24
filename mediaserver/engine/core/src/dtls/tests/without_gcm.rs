//! Handshakes that come to AES-CM, as with a peer that has no GCM, and what sessions make of that. (dimpl always has both.)

use std::net::SocketAddr;

use super::super::*;
use crate::border::ViewerSpec;
use crate::link::Link;
use crate::negotiation::{LocalTransport, PeerTransport, Setup};
use crate::session::{CloseReason, Media, Output, Parts, Role, Session, agent};
use crate::stun::{self, Message};

/// Makes instances of `Shared` whose keys are said to be of AES-CM.
#[derive(Debug)]
struct WithoutGcm(Arc<CryptoProvider>);

struct Narrowed {
    inner: Box<dyn DtlsInstance>,
    tap: KeyTap,
}

impl DtlsProvider for WithoutGcm {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = self.0.dtls_provider.new_dtls(certificate, now, version, mtu)?;
        let tap = take_latest_tap().unwrap();
        LATEST.set(Some(tap.clone()));
        Ok(Box::new(Narrowed { inner, tap }))
    }
}

impl fmt::Debug for Narrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Narrowed")
    }
}

impl DtlsInstance for Narrowed {
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buffer);
        if let Some(mut keys) = self.tap.take() {
            keys.material.resize(60, 0);
            self.tap.put(SrtpKeys { profile: SrtpProfile::AES128_CM_SHA1_80, ..keys });
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

fn without_gcm() -> Crypto {
    let crypto = Crypto::new().unwrap();
    let provider: &'static WithoutGcm = Box::leak(Box::new(WithoutGcm(crypto.sealed.clone())));
    let sealed = Arc::new(CryptoProvider { dtls_provider: provider, ..(*crypto.sealed).clone() });
    Crypto { sealed, ..crypto }
}

struct End {
    session: Session,
    address: SocketAddr,
    connected: bool,
    closed: Option<CloseReason>,
}

fn local(crypto: &Crypto, name: char, address: SocketAddr) -> LocalTransport {
    let (ufrag, password) = (name.to_string().repeat(8), name.to_string().repeat(24));
    let fingerprint = crypto.fingerprint().to_owned();
    LocalTransport { session_id: 1, ufrag, password, fingerprint, candidates: vec![address], tcp: false }
}

impl End {
    fn new(role: Role, crypto: &Crypto, local: LocalTransport, peer: &LocalTransport, now: Instant) -> Self {
        let (ufrag, password) = (peer.ufrag.clone(), peer.password.clone());
        let setup = if role.is_ours() { Setup::Passive } else { Setup::Active };
        let fingerprint = ("sha-256".to_owned(), peer.fingerprint.clone());
        let candidates = peer.candidates.clone();
        let peer = PeerTransport { ufrag, password, fingerprint, setup, over_tcp: false };
        let agent = agent::transport(crypto, &local, &peer, now).unwrap();
        let media = if role.is_link() {
            Media::Link(Link::new(1))
        } else {
            Media::Outbound(ViewerSpec { tracks: vec![], cname: "c".to_owned(), relay: false, layer: None })
        };
        let address = local.candidates[0];
        let mut session = Session::new(Parts { role, media, local, peer, agent }, now);
        if role.is_ours() {
            let host = |address: &SocketAddr| str0m::Candidate::builder().udp().host(*address).build().unwrap();
            session.start(candidates.iter().map(host).collect(), now);
        }
        Self { session, address, connected: false, closed: None }
    }

    fn turn(&mut self, other: &mut Self, now: Instant) {
        self.session.on_timeout(now);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => other.receive(&datagram, self.address, now),
                Output::Connected(_) => self.connected = true,
                Output::Closed(reason) => self.closed = Some(reason),
                _ => {}
            }
        }
    }

    fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        if !stun::looks_like(datagram) {
            self.session.on_datagram(datagram, from, now);
        } else if let Some(message) = Message::parse(datagram).filter(|message| self.session.vouches_for(message)) {
            self.session.on_stun(&message, datagram, from, now);
        }
    }
}

/// Whether a session of that role with that crypto is connected, and why it has ended.
fn outcome(role: Role, crypto: &Crypto) -> (bool, Option<CloseReason>) {
    let (mut now, other) = (Instant::now(), Crypto::new().unwrap());
    let addresses = [1, 2].map(|host| SocketAddr::from(([198, 51, 100, host], 7000)));
    let (ours, theirs) = (local(crypto, 'a', addresses[0]), local(&other, 'b', addresses[1]));
    let opposite = if role.is_ours() { Role::LinkOut } else { Role::LinkIn };
    let mut tested = End::new(role, crypto, ours.clone(), &theirs, now);
    let mut peer = End::new(opposite, &other, theirs, &ours, now);
    for _ in 0..100 {
        now += Duration::from_millis(5);
        tested.turn(&mut peer, now);
        peer.turn(&mut tested, now);
    }
    (tested.connected, tested.closed)
}

#[test]
fn between_nodes_what_is_not_sealed_with_gcm_is_refused() {
    let (with, without) = (Crypto::new().unwrap(), without_gcm());
    for role in [Role::LinkIn, Role::LinkOut, Role::RelayOut, Role::Viewer] {
        assert_eq!(outcome(role, &with), (true, None), "{role:?} with GCM");
    }
    let refused = (false, Some(CloseReason::Failed));
    for (role, expected) in
        [(Role::LinkIn, refused), (Role::LinkOut, refused), (Role::RelayOut, refused), (Role::Viewer, (true, None))]
    {
        assert_eq!(outcome(role, &without), expected, "{role:?} without");
    }
}
