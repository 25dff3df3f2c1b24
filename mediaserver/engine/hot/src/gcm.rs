//! AES-GCM of aws-lc (RFC 5116), its expanded key where it can be fetched ahead.
//!
//! aws-lc-rs keeps the expanded key behind a pointer that it does not show: then the first packet of each viewer's turn waits for all of it.

use std::mem::{self, MaybeUninit};
use std::ptr;

use aws_lc_sys::{
    EVP_AEAD, EVP_AEAD_CTX, EVP_AEAD_CTX_cleanup, EVP_AEAD_CTX_init, EVP_AEAD_CTX_open_gather,
    EVP_AEAD_CTX_seal_scatter, EVP_aead_aes_128_gcm, EVP_aead_aes_256_gcm,
};

use crate::large::LargeBox;
use crate::prefetch::prefetch;

/// Bytes of a tag.
pub const TAG: usize = 16;

/// A key for many nonces; the caller uses each once.
pub struct GcmKey(LargeBox<Context>);

#[repr(align(64))]
struct Context(EVP_AEAD_CTX);

// SAFETY: the context is plain memory that nothing else points to, and AES-GCM contexts may be used from any thread.
unsafe impl Send for GcmKey {}
// SAFETY: sealing and opening leave the context as it is (openssl/aead.h, "Concurrency").
unsafe impl Sync for GcmKey {}

impl GcmKey {
    /// `key`: 16 or 32 bytes; None with any other length.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        let algorithm: *const EVP_AEAD = match key.len() {
            // SAFETY: these return pointers to statics.
            16 => unsafe { EVP_aead_aes_128_gcm() },
            // SAFETY: as above.
            32 => unsafe { EVP_aead_aes_256_gcm() },
            _ => return None,
        };
        // SAFETY: a context is plain data, all zeroes is an empty one (EVP_AEAD_CTX_zero).
        let mut empty = Self(LargeBox::new(Context(unsafe { mem::zeroed() })));
        let context = &raw mut empty.0.0;
        // SAFETY: `key` is as long as the algorithm's; the context stays where it is.
        let done = unsafe { EVP_AEAD_CTX_init(context, algorithm, key.as_ptr(), key.len(), TAG, ptr::null_mut()) };
        (done == 1).then_some(empty)
    }

    /// Encrypt `body` in place; its tag. None: it is longer than AES-GCM allows.
    #[must_use]
    pub fn seal(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8]) -> Option<[u8; TAG]> {
        let (mut tag, mut tag_len) = (MaybeUninit::<[u8; TAG]>::uninit(), 0);
        let (at, len) = (body.as_mut_ptr(), body.len());
        // SAFETY: the context is initialised; every pointer comes with the length of what it points to; `out` and `in` are the same.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                self.context(),
                at,
                tag.as_mut_ptr().cast(),
                &raw mut tag_len,
                TAG,
                nonce.as_ptr(),
                nonce.len(),
                at,
                len,
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        // SAFETY: the call wrote `tag_len` bytes.
        (done == 1 && tag_len == TAG).then(|| unsafe { tag.assume_init() })
    }

    /// Append `body` and after it `tail`, encrypted, and the tag; `buffer[aad..]` as it stands is authenticated with them. What is sent to many
    /// is not copied for each before it is encrypted. False: that is longer than AES-GCM allows; nothing is appended.
    #[must_use]
    pub fn seal_onto(&self, nonce: &[u8; 12], buffer: &mut Vec<u8>, aad: usize, body: &[u8], tail: &[u8]) -> bool {
        let (start, rest) = (buffer.len(), tail.len() + TAG);
        buffer.reserve(body.len() + rest);
        let aad_len = buffer[aad..].len();
        let (at, mut written) = (buffer.as_mut_ptr(), 0);
        // SAFETY: the context is initialised; `body`, `tail` and `nonce` come with their lengths and are not part of `buffer`, which is
        // borrowed mutably; it has `aad_len` bytes from `aad` on, and room for `body` and for `rest` behind its end.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                self.context(),
                at.add(start),
                at.add(start + body.len()),
                &raw mut written,
                rest,
                nonce.as_ptr(),
                nonce.len(),
                body.as_ptr(),
                body.len(),
                tail.as_ptr(),
                tail.len(),
                at.add(aad),
                aad_len,
            )
        };
        let sealed = done == 1 && written == rest;
        if sealed {
            // SAFETY: the call wrote `body.len()` bytes behind the end and `rest` after those.
            unsafe { buffer.set_len(start + body.len() + rest) };
        }
        sealed
    }

    /// Decrypt `body` in place. None: it is not authentic, and what it holds now means nothing.
    #[must_use]
    pub fn open(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8], tag: &[u8; TAG]) -> Option<()> {
        let (at, len) = (body.as_mut_ptr(), body.len());
        // SAFETY: as for sealing.
        let done = unsafe {
            EVP_AEAD_CTX_open_gather(
                self.context(),
                at,
                nonce.as_ptr(),
                nonce.len(),
                at,
                len,
                tag.as_ptr(),
                tag.len(),
                aad.as_ptr(),
                aad.len(),
            )
        };
        (done == 1).then_some(())
    }

    /// Begin to fetch the expanded key.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(&*self.0);
    }

    fn context(&self) -> *const EVP_AEAD_CTX {
        &raw const self.0.0
    }
}

impl Drop for GcmKey {
    fn drop(&mut self) {
        // SAFETY: empty or initialised, cleaned up once.
        unsafe { EVP_AEAD_CTX_cleanup(&raw mut self.0.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 12] = *b"twelve bytes";

    #[test]
    fn only_keys_of_16_and_32_bytes_are_keys() {
        let lengths: Vec<usize> = (0..=40).filter(|&length| GcmKey::new(&vec![7; length]).is_some()).collect();
        assert_eq!(lengths, [16, 32]);
    }

    /// Test cases 1 and 2, 13 and 14 of "The Galois/Counter Mode of Operation" (`McGrew` and `Viega`), appendix B.
    #[test]
    fn zeroes_are_sealed_as_the_known_answers_say() {
        let blocks = [0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78_u128, 0xcea7_403d_4d60_6b6e_074e_c5d3_baf3_9d18]
            .map(u128::to_be_bytes);
        for (key, body, tag) in [
            (16, &[][..], 0x58e2_fcce_fa7e_3061_367f_1d57_a4e7_455a),
            (16, &blocks[0], 0xab6e_47d4_2cec_13bd_f53a_67b2_1257_bddf),
            (32, &[], 0x530f_8afb_c745_36b9_a963_b4f1_c4cb_738b),
            (32, &blocks[1], 0xd0d1_c8a7_9999_6bf0_265b_98b5_d48a_b919),
        ] {
            let mut sealed = vec![0; body.len()];
            let found = GcmKey::new(&vec![0; key]).unwrap().seal(&[0; 12], &[], &mut sealed).unwrap();
            assert_eq!((sealed.as_slice(), u128::from_be_bytes(found)), (body, tag), "{key} bytes of key");
        }
    }

    #[test]
    fn what_is_sealed_is_opened_once_nothing_of_it_is_changed() {
        for length in [0, 1, 15, 16, 17, 1_200] {
            let key = GcmKey::new(&[3; 32]).unwrap();
            key.prefetch();
            let plain: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut sealed = plain.clone();
            let tag = key.seal(&NONCE, b"header", &mut sealed).unwrap();
            assert!(length == 0 || sealed != plain);
            let open = |nonce: &[u8; 12], header: &[u8], body: &[u8], tag: &[u8; TAG]| {
                let mut body = body.to_vec();
                key.open(nonce, header, &mut body, tag).map(|()| body)
            };
            assert_eq!(open(&NONCE, b"header", &sealed, &tag), Some(plain));
            assert_eq!(open(b"twelve Bytes", b"header", &sealed, &tag), None);
            assert_eq!(open(&NONCE, b"Header", &sealed, &tag), None);
            assert_eq!(open(&NONCE, b"", &sealed, &tag), None);
            for at in 0..length.min(40) {
                let mut other = sealed.clone();
                other[at] ^= 1;
                assert_eq!(open(&NONCE, b"header", &other, &tag), None, "byte {at}");
            }
            for at in 0..TAG {
                let mut other = tag;
                other[at] ^= 128;
                assert_eq!(open(&NONCE, b"header", &sealed, &other), None, "byte {at} of the tag");
            }
        }
    }

    #[test]
    fn what_is_sealed_onto_a_buffer_is_what_is_sealed_in_place() {
        let key = GcmKey::new(&[4; 32]).unwrap();
        let plain: Vec<u8> = (0..=255).cycle().take(1_300).collect();
        for (body, tail) in [(0, 0), (0, 3), (1, 0), (16, 8), (17, 1), (1_000, 0), (1_031, 7), (1_200, 8)] {
            let mut expected = plain[..body + tail].to_vec();
            let tag = key.seal(&NONCE, b"header", &mut expected).unwrap();
            let mut buffer = b"before it header"[..].to_vec();
            let (body, tail) = plain[..body + tail].split_at(body);
            assert!(key.seal_onto(&NONCE, &mut buffer, 10, body, tail));
            assert_eq!(
                buffer,
                [&b"before it header"[..], &expected, &tag].concat(),
                "{} and {}",
                body.len(),
                tail.len()
            );
        }
    }

    #[test]
    fn one_key_serves_several_threads() {
        let key = GcmKey::new(&[5; 16]).unwrap();
        let seal = || {
            let mut body = [9; 300];
            (key.seal(&NONCE, b"", &mut body), body)
        };
        let expected = seal();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..500).all(|_| seal() == expected))).collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
