//! Tests of which certificates a dialler accepts.

use std::sync::Arc;

use libp2p_identity::Keypair;
use libp2p_tls::certificate::{generate, parse};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::tls::server_name;
use super::AnyPeer;

fn keypair(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

fn verified(certificate: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
    AnyPeer
        .verify_server_cert(
            certificate,
            more,
            &server_name(),
            &[],
            UnixTime::since_unix_epoch(crate::clock::unix_now()),
        )
        .map(|_| ())
}

#[test]
fn no_change_to_a_certificate_makes_it_that_of_another_peer() {
    let (certificate, _) = generate(&keypair(1)).unwrap();
    let peer = parse(&certificate).unwrap().peer_id();
    assert_eq!(verified(&certificate, &[]), Ok(()));
    assert!(verified(&certificate, std::slice::from_ref(&certificate)).is_err(), "two certificates");
    for at in 0..certificate.len() {
        let mut forged = certificate.to_vec();
        forged[at] ^= 1;
        let forged = forged.into();
        // Some bytes of an X.509 certificate say nothing of its peer.
        let unharmed = || parse(&forged).is_ok_and(|certificate| certificate.peer_id() == peer);
        assert!(verified(&forged, &[]).is_err() || unharmed(), "byte {at} was changed");
    }
}

/// What comes of a handshake with a server that shows the certificate of peer 1 and signs with the key of `signer`.
async fn handshake(signer: u8) -> std::io::Result<()> {
    let (shown, own_key) = generate(&keypair(1)).unwrap();
    let (_, other_key) = generate(&keypair(2)).unwrap();
    let key = if signer == 1 { own_key } else { other_key };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = CertifiedKey::new(vec![shown], provider.key_provider.load_private_key(key).unwrap());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyPeer))
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(1 << 16);
    let accepted =
        tokio::spawn(async move { TlsAcceptor::from(Arc::new(server)).accept(far).await.map(|_| ()) });
    let connected = TlsConnector::from(Arc::new(client)).connect(server_name(), near).await.map(|_| ());
    // What the other side makes of it follows from what this side found.
    let _ = accepted.await.unwrap();
    connected
}

#[tokio::test]
async fn who_shows_the_certificate_of_another_cannot_sign_for_it() {
    handshake(1).await.unwrap();
    handshake(2).await.unwrap_err();
}
