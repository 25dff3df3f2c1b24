//! Known answers: RFC 3711 B.2, B.3; RFC 7714 16.1, 16.2, 17.1; and what one side seals the other opens.

use rivulet_hot::GcmKey;

use super::cipher::{Cipher, derive_key};
use super::{IndexUse, MasterKey, Opener, Sealer, SrtpKeys, SrtpProfile, Unsealed};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn gcm(key: &[u8]) -> Cipher {
    Cipher::Gcm { key: GcmKey::new(key).unwrap(), salt: *b"Quid pro quo" }
}

fn rfc3711_master() -> MasterKey {
    MasterKey { key: hex("E1F97A0D3E018BE0D64FA32C06DE4139"), salt: hex("0EC675AD498AFEEBB6960B3AABE6") }
}

#[test]
fn session_keys_are_those_of_rfc_3711_b3() {
    let master = rfc3711_master();
    assert_eq!(derive_key(&master, 0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derive_key(&master, 2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(derive_key(&master, 1, 20), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

#[test]
fn aes_cm_with_hmac_sha1_seals_the_packet_that_libsrtp_tests_with() {
    let cipher = Cipher::for_rtp(SrtpProfile::Aes128CmSha1_80, &rfc3711_master());
    let mut packet = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    cipher.seal_rtp(&mut packet, 0, Unsealed::whole(12), 0xcafe_babe, 0x1234);
    let sealed = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb";
    assert_eq!(packet, hex(sealed));
}

const PLAIN_RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";

#[test]
fn aes_gcm_seals_the_rtp_packets_of_rfc_7714() {
    let key: Vec<u8> = (0..32).collect();
    let table = [
        (
            gcm(&key[..16]),
            "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1
             6a9152cf 765ee439 0cce",
        ),
        (
            gcm(&key),
            "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff
             d6b0f9bb 7878d7a7 6c13",
        ),
    ];
    for (cipher, sealed) in table {
        let mut packet = hex(PLAIN_RTP);
        cipher.seal_rtp(&mut packet, 0, Unsealed::whole(12), 0x5501_a0b2, 0xf17b);
        assert_eq!(packet[12..], hex(sealed));
        let len = cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b).unwrap();
        assert_eq!(packet[..len], hex(PLAIN_RTP));
    }
}

#[test]
fn aes_gcm_seals_the_rtcp_packet_of_rfc_7714() {
    let key: Vec<u8> = (0..16).collect();
    let plain = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
        deadbeef deadbeef deadbeef deadbeef deadbeef");
    let sealed = hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
        c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
    let cipher = gcm(&key);
    let mut packet = plain.clone();
    cipher.seal_rtcp(&mut packet, 0, 0x4d61_7273, 0x5d4);
    assert_eq!(packet, sealed);
    assert_eq!(cipher.rtcp_index(&packet), Some(0x5d4));
    let len = cipher.open_rtcp(&mut packet, 0x4d61_7273, 0x5d4).unwrap();
    assert_eq!(packet[..len], plain);
}

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

fn sides(profile: SrtpProfile) -> (Sealer, Opener) {
    let material: Vec<u8> = (0..120).collect();
    let server = SrtpKeys::from_exporter(profile, &material, false).unwrap();
    let client = SrtpKeys::from_exporter(profile, &material, true).unwrap();
    (Sealer::new(&server), Opener::new(&client))
}

#[test]
fn what_is_sealed_opens_once_over_the_wrap_and_not_when_changed() {
    for profile in PROFILES {
        let (mut sender, mut opener) = sides(profile);
        for index in [0xfffe_u64, 0x1_0001, 0xffff, 0x1_0000] {
            let mut packet = hex(PLAIN_RTP);
            packet[2..4].copy_from_slice(&index.to_be_bytes()[6..]);
            let plain = packet.clone();
            assert!(sender.seal_rtp(&mut packet, 0, Unsealed::whole(12), index, IndexUse::First));
            let sealed = packet.clone();
            let mut changed = packet.clone();
            changed[20] ^= 1;
            assert_eq!(opener.open_rtp(&mut changed), None, "{profile:?}");
            assert_eq!(opener.open_rtp(&mut packet), Some((index, plain.len())), "{profile:?}");
            assert_eq!(packet[..plain.len()], plain);
            assert_eq!(opener.open_rtp(&mut sealed.clone()), None, "{profile:?}: a replay");
            let mut again = plain.clone();
            assert!(!sender.seal_rtp(&mut again, 0, Unsealed::whole(12), index, IndexUse::First));
            assert!(sender.seal_rtp(&mut { plain.clone() }, 0, Unsealed::whole(12), index, IndexUse::Again));
        }
    }
}

#[test]
fn sealed_rtcp_opens_once_and_short_or_foreign_bytes_never() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = sides(profile);
        let plain = hex("80c90001 01020304 81cb0001 01020304");
        for _ in 0..3 {
            let mut packet = plain.clone();
            assert!(sealer.seal_rtcp(&mut packet, 0));
            let mut replay = packet.clone();
            let len = opener.open_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], plain);
            assert_eq!(opener.open_rtcp(&mut replay), None);
            for cut in 0..replay.len() {
                assert_eq!(opener.open_rtcp(&mut replay[..cut].to_vec()), None);
            }
        }
    }
}
