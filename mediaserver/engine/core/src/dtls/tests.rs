//! Handshakes between two instances of ours in memory. Peers with RSA certificates of their own make are in tests/interop.

mod without_gcm;

use super::*;

/// `handle_packet` and `poll_output` until neither side says anything: what went over the wire, ours and theirs in turn.
fn shake_hands(server: &mut dyn DtlsInstance, client: &mut dyn DtlsInstance, now: Instant) -> Vec<Vec<u8>> {
    let mut wire = Vec::new();
    client.handle_timeout(now).unwrap();
    server.handle_timeout(now).unwrap();
    for _ in 0..10 {
        for packet in packets(client) {
            server.handle_packet(&packet).unwrap();
            wire.push(packet);
        }
        for packet in packets(server) {
            client.handle_packet(&packet).unwrap();
            wire.push(packet);
        }
    }
    wire
}

fn packets(instance: &mut dyn DtlsInstance) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut buffer = vec![0; 2000];
    loop {
        match instance.poll_output(&mut buffer) {
            DtlsOutput::Packet(packet) => found.push(packet.to_vec()),
            DtlsOutput::Timeout(_) => return found,
            _ => {}
        }
    }
}

fn instance(crypto: &Crypto, active: bool, now: Instant) -> (Box<dyn DtlsInstance>, KeyTap) {
    let provider = crypto.provider(true);
    let mut made = provider.dtls_provider.new_dtls(&crypto.certificate, now, DtlsVersion::Dtls12, None).unwrap();
    made.set_active(active);
    (made, take_latest_tap().unwrap())
}

#[test]
fn both_sides_agree_on_keys_over_the_widened_request() {
    let now = Instant::now();
    let (crypto, other) = (Crypto::new().unwrap(), Crypto::new().unwrap());
    let (mut server, server_tap) = instance(&crypto, false, now);
    let (mut client, client_tap) = instance(&other, true, now);
    let wire = shake_hands(&mut *server, &mut *client, now);
    let (ours, theirs) = (server_tap.take().unwrap(), client_tap.take().unwrap());
    assert_eq!((ours.material, ours.profile), (theirs.material, theirs.profile));
    assert!(wire.iter().all(|datagram| datagram.len() <= DTLS_MTU));
    // ecdsa_sign and rsa_sign, then algorithms with rsa_pkcs1_sha256 among them.
    let request = wire.iter().find(|datagram| datagram.windows(3).any(|three| three == [2, 64, 1]));
    assert!(request.is_some_and(|datagram| datagram.windows(6).any(|six| six == [4, 1, 5, 1, 6, 1])));
}

#[test]
fn a_foreign_server_s_narrow_request_stays_as_it_is() {
    let now = Instant::now();
    let (crypto, other) = (Crypto::new().unwrap(), Crypto::new().unwrap());
    let plain = configuration(str0m_aws_lc_rs::dimpl_crypto_provider()).unwrap();
    let mut server: Box<dyn DtlsInstance> = Box::new(Tapped {
        inner: dimpl::Dtls::new_12(plain, other.certificate.clone(), now),
        client: None,
        asks: false,
        tap: KeyTap::default(),
        sealed: true,
    });
    let (mut client, tap) = instance(&crypto, true, now);
    shake_hands(&mut *server, &mut *client, now);
    assert!(tap.take().is_some());
}

#[test]
fn a_certificate_that_str0m_has_no_room_for_is_an_error_and_no_panic() {
    let mut buffer = [0; 4];
    assert!(matches!(copied(b"five!", &mut buffer, DtlsOutput::PeerCert), DtlsOutput::BufferTooSmall { needed: 5 }));
    assert!(matches!(copied(b"four", &mut buffer, DtlsOutput::PeerCert), DtlsOutput::PeerCert(b"four")));
}
