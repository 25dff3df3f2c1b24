//! dimpl's crypto with a verifier that knows more peers: RSA keys, and ECDSA on P-224, which `FFmpeg` with `GnuTLS` makes. On the
//! side that asks for a certificate it hashes and verifies over the widened transcript.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};
use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
};
use dimpl::{CryptoError, CryptoOperation};
use p224::ecdsa::signature::hazmat::PrehashVerifier;
use p224::ecdsa::{DerSignature, Signature, VerifyingKey};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};

use super::certificate_request::widen_messages;

/// secp224r1 (RFC 5480, 2.1.1.1).
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");

/// `base`, for clients. Leaks some pointers' worth, as the next does (dimpl wants `'static`): once a process.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "most of it goes into what is returned")]
pub fn accepting_more(base: CryptoProvider) -> CryptoProvider {
    let verifier = Verifier { dimpl: base.signature_verification, wide: false };
    CryptoProvider { signature_verification: Box::leak(Box::new(verifier)), ..base }
}

/// `base`, for servers whose `CertificateRequest` is widened on the wire.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "most of it goes into what is returned")]
pub fn accepting_rsa(base: CryptoProvider) -> CryptoProvider {
    let hash_provider = Box::leak(Box::new(WideHashes(base.hash_provider)));
    let verifier = Verifier { dimpl: base.signature_verification, wide: true };
    CryptoProvider { hash_provider, signature_verification: Box::leak(Box::new(verifier)), ..base }
}

#[derive(Debug)]
struct WideHashes(&'static dyn HashProvider);

impl HashProvider for WideHashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(WideHash(self.0.create_hash(algorithm)))
    }
}

/// dimpl hashes its transcript in one piece, from the first message on.
struct WideHash(Box<dyn HashContext>);

impl fmt::Debug for WideHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WideHash").finish_non_exhaustive()
    }
}

impl HashContext for WideHash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(&widen_messages(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

#[derive(Debug)]
struct Verifier {
    dimpl: &'static dyn SignatureVerifier,
    /// What is signed is a transcript with our widened request in it.
    wide: bool,
}

impl SignatureVerifier for Verifier {
    /// The client's `CertificateVerify` (RFC 5246, 7.4.8), where `data` is the transcript up to it, or the server's key exchange.
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let data = if self.wide { widen_messages(data) } else { Cow::Borrowed(data) };
        if algorithm == SignatureAlgorithm::RSA {
            return verify_rsa(certificate, &data, signature, hash);
        }
        let judged = self.dimpl.verify_signature(certificate, &data, signature, hash, algorithm);
        judged.or_else(|error| match p224_key(certificate) {
            Some(key) if algorithm == SignatureAlgorithm::ECDSA => verify_p224(&key, &data, signature, hash),
            _ => Err(error),
        })
    }
}

/// The certificate's key, if it is one on P-224.
fn p224_key(certificate: &[u8]) -> Option<VerifyingKey> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let info = certificate.tbs_certificate().subject_public_key_info();
    let curve: ObjectIdentifier = info.algorithm.parameters.as_ref()?.decode_as().ok()?;
    (curve == P224).then(|| VerifyingKey::from_sec1_bytes(info.subject_public_key.as_bytes()?).ok())?
}

fn verify_p224(key: &VerifyingKey, data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
    let hash = match hash {
        HashAlgorithm::SHA256 => &digest::SHA256,
        HashAlgorithm::SHA384 => &digest::SHA384,
        _ => return Err(CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::ECDSA)),
    };
    let refused = CryptoError::OperationFailed(CryptoOperation::VerifySignature);
    let signature = DerSignature::from_bytes(signature).and_then(Signature::try_from);
    let verified = signature.and_then(|signature| key.verify_prehash(digest::digest(hash, data).as_ref(), &signature));
    verified.map_err(|_| refused)
}

/// RSA keys of 2,048 to 8,192 bits, PKCS #1 v1.5.
fn verify_rsa(certificate: &[u8], data: &[u8], signature: &[u8], hash: HashAlgorithm) -> Result<(), CryptoError> {
    let parameters = match hash {
        HashAlgorithm::SHA256 => &RSA_PKCS1_2048_8192_SHA256,
        HashAlgorithm::SHA384 => &RSA_PKCS1_2048_8192_SHA384,
        HashAlgorithm::SHA512 => &RSA_PKCS1_2048_8192_SHA512,
        _ => return Err(CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::RSA)),
    };
    let certificate = Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
    let key = certificate.tbs_certificate().subject_public_key_info().to_der();
    let key = key.map_err(|_| CryptoError::InvalidSubjectPublicKey)?;
    UnparsedPublicKey::new(parameters, key)
        .verify(data, signature)
        .map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair};

    use super::*;

    /// A transcript's end: dimpl's request for a certificate and `ServerHelloDone`.
    const NARROW: [u8; 34] =
        [13, 0, 0, 10, 0, 4, 0, 0, 0, 0, 0, 10, 1, 64, 0, 4, 4, 3, 5, 3, 0, 0, 14, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0];

    fn key_and_certificate() -> (RsaKeyPair, Vec<u8>) {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        (RsaKeyPair::from_pkcs8(&pair.serialize_der()).unwrap(), certificate.der().to_vec())
    }

    #[test]
    fn an_rsa_peer_that_signed_what_it_saw_is_believed_and_nobody_else() {
        let verifier = accepting_rsa(str0m_aws_lc_rs::dimpl_crypto_provider()).signature_verification;
        let (key, certificate) = key_and_certificate();
        let seen = widen_messages(&NARROW);
        let sign = |scheme, data: &[u8]| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(scheme, &SystemRandom::new(), data, &mut signature).unwrap();
            signature
        };
        let (rsa, sha256) = (SignatureAlgorithm::RSA, HashAlgorithm::SHA256);
        let verify =
            |signature: &[u8], hash| verifier.verify_signature(&certificate, &NARROW, signature, hash, rsa).is_ok();
        assert!(verify(&sign(&RSA_PKCS1_SHA256, &seen), sha256));
        assert!(verify(&sign(&RSA_PKCS1_SHA384, &seen), HashAlgorithm::SHA384));
        assert!(verify(&sign(&RSA_PKCS1_SHA512, &seen), HashAlgorithm::SHA512));
        assert!(!verify(&sign(&RSA_PKCS1_SHA256, &NARROW), sha256), "what was not on the wire");
        assert!(!verify(&sign(&RSA_PKCS1_SHA256, &seen), HashAlgorithm::SHA384), "another hash");
        assert!(!verify(&sign(&RSA_PKCS1_SHA256, &seen), HashAlgorithm::SHA1), "SHA-1 was not offered");
        assert!(!verify(&[0; 256], sha256), "no signature");
        let signature = sign(&RSA_PKCS1_SHA256, &seen);
        let (_, other) = key_and_certificate();
        assert!(verifier.verify_signature(&other, &NARROW, &signature, sha256, rsa).is_err(), "another's certificate");
        assert!(verifier.verify_signature(b"no", &NARROW, &signature, sha256, rsa).is_err(), "no certificate");
        let ecdsa = SignatureAlgorithm::ECDSA;
        assert!(verifier.verify_signature(&certificate, &NARROW, &signature, sha256, ecdsa).is_err(), "as ECDSA");
    }

    /// As `FFmpeg` 8.1 with `GnuTLS` says hello: its certificate, both randoms with its key share, and its signature.
    const FFMPEG: [&str; 3] = [
        concat!(
            "3081fb3081aaa003020102020500fc59968f300a06082a8648ce3d040302300f310d300b060355040313046c617666301e170d32",
            "36313132373137323934305a170d3237313132373137323934305a300f310d300b060355040313046c617666304e301006072a86",
            "48ce3d020106052b81040021033a00047c8d670cb236950b6b555e39ee0a7cedd7e06c96ab07790003bed72f68e14061da10f490",
            "e4246d60c035082a4624bdcd44a0f17222b266d3300a06082a8648ce3d040302034000303d021c37c315a3608ca9bd9413b1a26c",
            "7b113d590d35ca2c18a00b479bb271021d008c01aef2e11936c5ed4b41c1b7afa00155212c62c38e943d523653c9",
        ),
        concat!(
            "6b09be0459402ac9aef55fc5b63370887c60c70c8293fc0f6837b4fec218fc1c55269a55c0bed4d2ece6627080a0342f1c76ed2f",
            "8bc034ad1a8ee1728aa0edce03001d2011b17bc6a4bff89c351a78172a9347e9d53e999124ae5c087c3a9fa49b2cf01a",
        ),
        concat!(
            "303e021d0088ab6062392e391e0e7655f38c69a98aa9f7785118462d900228a01f021d00c3c6a8c33e252980c0679b7eb99b215e",
            "2a11df215b80cefc84436035",
        ),
    ];

    #[test]
    fn ffmpeg_s_certificate_on_p_224_is_believed_when_it_has_signed() {
        let [certificate, data, signature] = FFMPEG.map(bytes);
        let (ecdsa, sha256) = (SignatureAlgorithm::ECDSA, HashAlgorithm::SHA256);
        let base = str0m_aws_lc_rs::dimpl_crypto_provider;
        for provider in [accepting_more(base()), accepting_rsa(base())] {
            let verify = |data: &[u8], signature: &[u8], hash, algorithm| {
                let verifier = provider.signature_verification;
                verifier.verify_signature(&certificate, data, signature, hash, algorithm).is_ok()
            };
            assert!(verify(&data, &signature, sha256, ecdsa));
            assert!(!verify(&data[1..], &signature, sha256, ecdsa), "other data");
            assert!(!verify(&data, &signature[..63], sha256, ecdsa), "half a signature");
            assert!(!verify(&data, &signature, HashAlgorithm::SHA384, ecdsa), "another hash");
            assert!(!verify(&data, &signature, sha256, SignatureAlgorithm::RSA), "as RSA");
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }
}
