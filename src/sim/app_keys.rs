//! Key pairs of Apps: what GitHub makes when an App is created, and what verifies the App's JSON Web Tokens.

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use jsonwebtoken::{DecodingKey, EncodingKey};
use secrecy::SecretString;

/// A new key pair, both halves in PEM: the private one as GitHub hands it out (PKCS #1), and the public one.
pub(super) fn generate() -> anyhow::Result<(SecretString, String)> {
    let broken = "the simulator cannot make an RSA key";
    let pair = KeyPair::generate(KeySize::Rsa2048).context(broken)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().context(broken)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().context(broken)?;
    // It takes the PKCS #1 key out of the envelope of PKCS #8.
    let private = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).context(broken)?;
    Ok((pem("RSA PRIVATE KEY", private.inner()).into(), pem("PUBLIC KEY", public.as_ref())))
}

/// What verifies signatures of the private half.
pub(super) fn verifying(public_key_pem: &str) -> anyhow::Result<DecodingKey> {
    DecodingKey::from_rsa_pem(public_key_pem.as_bytes()).context("the App's public key is not an RSA key in PEM form")
}

/// RFC 7468: base64 in lines of 64 characters.
fn pem(kind: &str, der: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {kind}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + &format!("-----END {kind}-----\n")
}
