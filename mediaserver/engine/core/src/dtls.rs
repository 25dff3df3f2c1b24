//! DTLS for str0m on shared `dimpl::Config`s (no crypto self-test per session), with a tap for the SRTP keys. As a server it
//! takes peers with ECDSA and with RSA certificates; dimpl alone asks for ECDSA only.
//!
//! Invariant: a *sealed* session's keys never reach str0m, so there is exactly one sender of SRTP and SRTCP under them.

pub(crate) mod certificate_request;
mod own_key;
pub(crate) mod peer_certificate;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider, Sha1HmacProvider};

use certificate_request::{GROWTH, widen_datagram};
use own_key::knowing_own;
use peer_certificate::{accepting_more, accepting_rsa};

/// Largest DTLS record that we send, bytes: leaves room for IPv6, UDP and a tunnel in 1,280.
const DTLS_MTU: usize = 1_150;
/// First retransmission of a lost flight (dimpl's own is 1 s: too long for a join).
const FLIGHT_START_RTO: Duration = Duration::from_millis(200);

/// Doubled each time from `FLIGHT_START_RTO`: longer than a session waits for its handshake, whose own limit decides.
/// (A client's flight is due before ICE has found a way; dimpl's own 4 would give up after 6 s.)
const FLIGHT_RETRIES: usize = 7;

/// What dimpl may give out at once, bytes: a datagram of ours or a peer's certificate.
const LONGEST_OUTPUT: usize = 16 * 1024;

/// Keying material of a finished handshake (RFC 5764), in the exporter's order.
#[derive(Clone)]
pub struct SrtpKeys {
    pub material: Vec<u8>,
    pub profile: SrtpProfile,
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Where a session's keys appear.
#[derive(Debug, Clone, Default)]
pub struct KeyTap(Arc<Mutex<Option<SrtpKeys>>>);

impl KeyTap {
    /// The keys, once.
    #[must_use]
    pub fn take(&self) -> Option<SrtpKeys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, keys: SrtpKeys) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }
}

thread_local! {
    /// Where dimpl puts an output that we widen.
    static NARROW: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST_OUTPUT]);
    /// str0m builds the DTLS instance inside `RtcConfig::build`: this hands its tap out on the same thread.
    static LATEST: RefCell<Option<KeyTap>> = const { RefCell::new(None) };
}

/// The crypto of all sessions of a process: two providers for str0m and one certificate.
#[derive(Debug, Clone)]
pub struct Crypto {
    pub certificate: DtlsCert,
    fingerprint: String,
    open: Arc<CryptoProvider>,
    sealed: Arc<CryptoProvider>,
}

impl Crypto {
    /// Make the shared configuration and a certificate. Leaks a few hundred bytes (str0m wants `'static`): once a process.
    ///
    /// # Errors
    /// When the crypto library refuses its own defaults.
    pub fn new() -> Result<Self, String> {
        let base = str0m_aws_lc_rs::default_provider();
        let certificate = base.dtls_provider.generate_certificate().ok_or("no DTLS certificate could be generated")?;
        let fingerprint = sha256_fingerprint(&base, &certificate);
        let dimpl = || knowing_own(str0m_aws_lc_rs::dimpl_crypto_provider(), &certificate);
        let as_client = configuration(accepting_more(dimpl()))?;
        let as_server = configuration(accepting_rsa(dimpl()))?;
        let with = |sealed| {
            let shared = Shared { as_client: as_client.clone(), as_server: as_server.clone(), sealed };
            let provider: &'static Shared = Box::leak(Box::new(shared));
            Arc::new(CryptoProvider { dtls_provider: provider, ..base.clone() })
        };
        Ok(Self { certificate, fingerprint, open: with(false), sealed: with(true) })
    }

    /// What a session is built with; `sealed`: its keys are withheld from str0m.
    #[must_use]
    pub fn provider(&self, sealed: bool) -> Arc<CryptoProvider> {
        if sealed { self.sealed.clone() } else { self.open.clone() }
    }

    /// The sha-256 fingerprint of our certificate, hex pairs with colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What STUN messages are signed with.
#[must_use]
pub fn hmac() -> &'static dyn Sha1HmacProvider {
    str0m_aws_lc_rs::default_provider().sha1_hmac_provider
}

fn sha256_fingerprint(crypto: &CryptoProvider, certificate: &DtlsCert) -> String {
    let digest = crypto.sha256_provider.sha256(&certificate.certificate);
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

fn configuration(crypto: dimpl::crypto::CryptoProvider) -> Result<Arc<dimpl::Config>, String> {
    dimpl::Config::builder()
        .mtu(DTLS_MTU - GROWTH)
        .use_server_cookie(false)
        .flight_start_rto(FLIGHT_START_RTO)
        .flight_retries(FLIGHT_RETRIES)
        .with_crypto_provider(crypto)
        .build()
        .map(Arc::new)
        .map_err(|error| format!("DTLS configuration: {error}"))
}

/// The tap of the session that was built last on this thread.
#[must_use]
pub fn take_latest_tap() -> Option<KeyTap> {
    LATEST.take()
}

struct Shared {
    as_client: Arc<dimpl::Config>,
    as_server: Arc<dimpl::Config>,
    sealed: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

impl DtlsProvider for Shared {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m_aws_lc_rs::default_provider().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let tap = KeyTap::default();
        LATEST.set(Some(tap.clone()));
        let inner = dimpl::Dtls::new_12(self.as_server.clone(), certificate.clone(), now);
        let client = Client { config: self.as_client.clone(), certificate: certificate.clone(), now };
        Ok(Box::new(Tapped { inner, client: Some(Box::new(client)), asks: false, tap, sealed: self.sealed }))
    }
}

/// What an instance is made of that is a client after all.
struct Client {
    config: Arc<dimpl::Config>,
    certificate: DtlsCert,
    now: Instant,
}

struct Tapped {
    /// A server until `set_active` says otherwise.
    inner: dimpl::Dtls,
    /// Until the role is known.
    client: Option<Box<Client>>,
    /// We are a server whose request for a certificate may still go out.
    asks: bool,
    tap: KeyTap,
    sealed: bool,
}

impl Tapped {
    /// dimpl's next output, its request for a certificate widened.
    fn poll_widened<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        NARROW.with_borrow_mut(|narrow| match self.inner.poll_output(narrow) {
            DtlsOutput::Packet(packet) => copied(&widen_datagram(packet), buffer, DtlsOutput::Packet),
            DtlsOutput::PeerCert(certificate) => copied(certificate, buffer, DtlsOutput::PeerCert),
            DtlsOutput::ApplicationData(data) => copied(data, buffer, DtlsOutput::ApplicationData),
            DtlsOutput::Timeout(at) => DtlsOutput::Timeout(at),
            DtlsOutput::Connected => DtlsOutput::Connected,
            DtlsOutput::KeyingMaterial(material, profile) => DtlsOutput::KeyingMaterial(material, profile),
            DtlsOutput::CloseNotify => DtlsOutput::CloseNotify,
            // Too large, or of a dimpl that says more: an error to str0m, the session's end.
            _ => DtlsOutput::BufferTooSmall { needed: LONGEST_OUTPUT },
        })
    }
}

/// `bytes` as an output in `buffer`; a certificate that str0m has no room for is its error, and the session's end.
fn copied<'a>(bytes: &[u8], buffer: &'a mut [u8], output: fn(&'a [u8]) -> DtlsOutput<'a>) -> DtlsOutput<'a> {
    match buffer.get_mut(..bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            output(room)
        }
        None => DtlsOutput::BufferTooSmall { needed: bytes.len() },
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

impl DtlsInstance for Tapped {
    fn set_active(&mut self, active: bool) {
        if let Some(client) = self.client.take()
            && active
        {
            self.inner = dimpl::Dtls::new_12(client.config, client.certificate, client.now);
        }
        self.inner.set_active(active);
        self.asks = !active;
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = if self.asks { self.poll_widened(buffer) } else { self.inner.poll_output(buffer) };
        if matches!(output, DtlsOutput::Connected) {
            self.asks = false;
        }
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            self.tap.put(SrtpKeys { material: material.as_ref().to_vec(), profile: *profile });
            if self.sealed {
                // dimpl says Connected before the keys; str0m takes the second one for nothing new.
                return DtlsOutput::Connected;
            }
        }
        output
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
