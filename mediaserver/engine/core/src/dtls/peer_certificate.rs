//! dimpl's crypto for the side that asks for a certificate: hashes and verifies over the widened transcript, and knows RSA.

use std::fmt;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
};
use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
};
use dimpl::{CryptoError, CryptoOperation};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::certificate_request::widen_messages;

/// `base`, for servers whose `CertificateRequest` is widened on the wire. Leaks two pointers' worth (dimpl wants `'static`):
/// once a process.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "most of it goes into what is returned")]
pub fn accepting_rsa(base: CryptoProvider) -> CryptoProvider {
    let hash_provider = Box::leak(Box::new(WideHashes(base.hash_provider)));
    let signature_verification = Box::leak(Box::new(Verifier(base.signature_verification)));
    CryptoProvider { hash_provider, signature_verification, ..base }
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
struct Verifier(&'static dyn SignatureVerifier);

impl SignatureVerifier for Verifier {
    /// The client's `CertificateVerify` (RFC 5246, 7.4.8): `data` is the transcript up to it.
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let data = widen_messages(data);
        if algorithm == SignatureAlgorithm::RSA {
            verify_rsa(certificate, &data, signature, hash)
        } else {
            self.0.verify_signature(certificate, &data, signature, hash, algorithm)
        }
    }
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
}
