//! dimpl's crypto with our own private key read once a process instead of once a session: reading checks it, 30 µs of each join.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::crypto::{Buf, CryptoProvider, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey};
use dimpl::{CryptoError, CryptoOperation};
use str0m::crypto::dtls::DtlsCert;

/// `base`, which knows this certificate's key. Leaks it (dimpl wants `'static`): once a process.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "most of it goes into what is returned")]
pub fn knowing_own(base: CryptoProvider, certificate: &DtlsCert) -> CryptoProvider {
    match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &certificate.private_key) {
        Ok(pair) => {
            let own = OwnKey { der: certificate.private_key.clone(), pair: Arc::new(pair), dimpl: base.key_provider };
            CryptoProvider { key_provider: Box::leak(Box::new(own)), ..base }
        }
        // Not on P-256: dimpl reads it each time.
        Err(_) => base,
    }
}

struct OwnKey {
    der: Vec<u8>,
    pair: Arc<EcdsaKeyPair>,
    dimpl: &'static dyn KeyProvider,
}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKey").finish_non_exhaustive()
    }
}

impl KeyProvider for OwnKey {
    fn load_private_key(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        if der == self.der {
            return Ok(Box::new(Signer(self.pair.clone())));
        }
        self.dimpl.load_private_key(der)
    }
}

struct Signer(Arc<EcdsaKeyPair>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl SigningKey for Signer {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        let key_hash = self.hash_algorithm();
        if hash != key_hash {
            return Err(CryptoError::SigningKeyHashMismatch { key_hash, requested: hash });
        }
        let failed = |_| CryptoError::OperationFailed(CryptoOperation::Sign);
        let signature = self.0.sign(&SystemRandom::new(), data).map_err(failed)?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, KeyPair, UnparsedPublicKey};
    use dimpl::crypto::Buf;

    use super::*;

    fn certificate() -> DtlsCert {
        let provider = str0m_aws_lc_rs::default_provider();
        provider.dtls_provider.generate_certificate().unwrap()
    }

    #[test]
    fn it_signs_as_the_key_that_it_was_given_and_others_are_read_as_before() {
        let (own, other) = (certificate(), certificate());
        let crypto = knowing_own(str0m_aws_lc_rs::dimpl_crypto_provider(), &own);
        for certificate in [&own, &other] {
            let mut key = crypto.key_provider.load_private_key(&certificate.private_key).unwrap();
            let mut signature = Buf::new();
            key.sign(b"transcript", HashAlgorithm::SHA256, &mut signature).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &certificate.private_key).unwrap();
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
            assert!(public.verify(b"transcript", &signature).is_ok());
            assert!(key.sign(b"transcript", HashAlgorithm::SHA384, &mut signature).is_err());
        }
        assert!(crypto.key_provider.load_private_key(b"no key").is_err());
    }
}
