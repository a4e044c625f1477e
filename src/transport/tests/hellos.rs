//! The hello, over in-memory streams and in virtual time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::admission::{Admission, AdmissionError};
use super::super::hello::{ADMISSION_TIMEOUT, Admitted, Channel, Greeting, HelloError, Introduction};
use super::super::keyring::Keyring;
use super::super::keys::Keys;
use super::super::tls::{Tls, server_name};
use super::{identity, key, keyring, unhex};
use crate::metrics::Metrics;
use crate::wire;
use crate::wire::hello::{Hello, MAX_HELLO_LEN, Role};

fn introduction(keyring: Keyring) -> Introduction {
    Introduction {
        cluster: "test".to_owned(),
        keys: Keys::new(keyring),
        boot_nonce: 1,
        epoch: Arc::new(10.into()),
    }
}

fn channel(local: u8, peer: u8, exporter: u8) -> Channel {
    Channel { local: identity(local).id(), peer: identity(peer).id(), exporter: [exporter; 32] }
}

/// The acceptor's verdict and what it said, when the dialler says `said`.
async fn accept(
    acceptor: &Introduction,
    channel: &Channel,
    said: &[u8],
) -> (Result<Admitted, HelloError>, Vec<u8>) {
    let (mut near, mut far) = duplex(4096);
    near.write_all(said).await.unwrap();
    near.shutdown().await.unwrap();
    let verdict = acceptor.accept(&mut far, channel, Greeting::default()).await;
    drop(far);
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    (verdict, answer)
}

/// What a dialler says first.
async fn said(dialler: &Introduction, channel: &Channel) -> Vec<u8> {
    let (mut near, mut far) = duplex(4096);
    let dialling = async {
        let refused = dialler.dial(&mut near, channel, Greeting::default()).await;
        assert!(matches!(refused, Err(HelloError::Io(_))));
    };
    let listening = async {
        let mut frame = vec![0; 2];
        far.read_exact(&mut frame).await.unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([frame[0], frame[1]]))];
        far.read_exact(&mut body).await.unwrap();
        frame.extend(body);
        drop(far);
        frame
    };
    tokio::join!(dialling, listening).1
}

fn framed(hello: &Hello) -> Vec<u8> {
    let body = wire::encode(hello);
    [u16::try_from(body.len()).unwrap().to_be_bytes().as_slice(), &body].concat()
}

fn unframed(frame: &[u8]) -> Hello {
    Hello::decode(&frame[2..]).unwrap()
}

#[tokio::test]
async fn both_sides_are_admitted_and_learn_what_the_other_knows() {
    let (mut near, mut far) = duplex(4096);
    let (dialler, acceptor) = (introduction(keyring(1)), introduction(keyring(1)));
    let (here, there) = (channel(1, 2, 9), channel(2, 1, 9));
    let dials = Greeting { known_epoch: 5, watch: true };
    let accepts = Greeting { known_epoch: 6, watch: false };
    let (dialled, accepted) =
        tokio::join!(dialler.dial(&mut near, &here, dials), acceptor.accept(&mut far, &there, accepts));
    assert_eq!(
        dialled.unwrap(),
        Admitted { peer: identity(2).id(), boot_nonce: 1, key: key(1).id(), greeting: accepts }
    );
    assert_eq!(
        accepted.unwrap(),
        Admitted { peer: identity(1).id(), boot_nonce: 1, key: key(1).id(), greeting: dials }
    );
}

/// Made by a second implementation, for the channel of the test below.
const GOLDEN_MAC: &str = "783af66621f143ea2aa5687ed3f00c925f1b48dd31e02ea4c06545808a1fde97";

#[tokio::test]
async fn the_proof_is_the_golden_one() {
    let hello = unframed(&said(&introduction(keyring(1)), &channel(1, 2, 9)).await);
    assert_eq!(hello.mac, unhex(GOLDEN_MAC));
}

#[tokio::test]
async fn the_acceptor_answers_with_the_key_of_the_dialler() {
    let text = format!("{}\n{}", key(2).to_base64(), key(1).to_base64());
    let rotating = introduction(Keyring::parse(&text).unwrap());
    let hello = said(&introduction(keyring(1)), &channel(1, 2, 9)).await;
    let (verdict, answer) = accept(&rotating, &channel(2, 1, 9), &hello).await;
    assert!(verdict.is_ok());
    assert_eq!(unframed(&answer).key_id, key(1).id().0);
}

#[tokio::test]
async fn who_does_not_prove_the_key_hears_nothing() {
    let acceptor = introduction(keyring(1));
    let here = channel(2, 1, 9);
    let genuine = said(&acceptor, &channel(1, 2, 9)).await;
    let check = async |what: &str, said: Vec<u8>, expected: fn(&HelloError) -> bool| {
        let (verdict, answer) = accept(&acceptor, &here, &said).await;
        let error = verdict.unwrap_err();
        assert!(expected(&error), "{what}: {error}");
        assert_eq!(answer, b"", "{what}");
    };

    let other_key = said(&introduction(keyring(2)), &channel(1, 2, 9)).await;
    check("another key", other_key.clone(), |error| matches!(error, HelloError::Key(_))).await;
    let pretended = Hello { key_id: key(1).id().0, ..unframed(&other_key) };
    check("a pretended key", framed(&pretended), |error| matches!(error, HelloError::Proof(_))).await;
    let relayed = said(&acceptor, &channel(1, 2, 8)).await;
    check("for another channel", relayed, |error| matches!(error, HelloError::Proof(_))).await;
    let stolen = said(&acceptor, &channel(3, 2, 9)).await;
    check("of another node", stolen, |error| matches!(error, HelloError::Proof(_))).await;
    let reflected = said(&acceptor, &here).await;
    check("of the acceptor itself", reflected, |error| matches!(error, HelloError::Proof(_))).await;
    let foreign = Introduction { cluster: "live".to_owned(), ..acceptor.clone() };
    let foreign = said(&foreign, &channel(1, 2, 9)).await;
    check("another cluster", foreign, |error| matches!(error, HelloError::Cluster(_))).await;
    let swapped = Hello { role: Role::AcceptorIsClient.into(), ..unframed(&genuine) };
    check("a role to come", framed(&swapped), |error| matches!(error, HelloError::Role(2))).await;
    check("too long", vec![0xff; 4000], |error| matches!(error, HelloError::Malformed(_))).await;
    check("not a hello", [0, 3, 7, 7, 7].to_vec(), |error| matches!(error, HelloError::Malformed(_))).await;
    for len in 0..genuine.len() {
        check("cut short", genuine[..len].to_vec(), |error| matches!(error, HelloError::Io(_))).await;
    }
    assert!(accept(&acceptor, &here, &genuine).await.0.is_ok());
}

#[tokio::test]
async fn equal_identities_are_refused_by_both_sides() {
    let introduction = introduction(keyring(1));
    let (mut near, mut far) = duplex(4096);
    let itself = channel(1, 1, 9);
    let (dialled, accepted) = tokio::join!(
        introduction.dial(&mut near, &itself, Greeting::default()),
        introduction.accept(&mut far, &itself, Greeting::default())
    );
    assert!(matches!(dialled, Err(HelloError::Itself)));
    assert!(matches!(accepted, Err(HelloError::Itself)));
}

#[tokio::test]
async fn an_acceptor_that_does_not_prove_the_key_is_refused() {
    let (mut near, mut far) = duplex(4096);
    let dialler = introduction(keyring(1));
    let here = channel(1, 2, 9);
    let echo = async {
        let mut frame = vec![0; 2 + MAX_HELLO_LEN];
        let len = far.read(&mut frame).await.unwrap();
        far.write_all(&frame[..len]).await.unwrap();
    };
    let (refused, ()) = tokio::join!(dialler.dial(&mut near, &here, Greeting::default()), echo);
    assert!(matches!(refused, Err(HelloError::Proof(_))));
}

fn admission(seed: u8) -> Admission {
    let identity = identity(seed);
    let tls = Tls::new(&identity).unwrap();
    let (hints, _) = mpsc::channel(1);
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Admission::new(tls, introduction(keyring(1)), identity.id(), source, Metrics::new(), hints)
}

async fn check_slow<F: Future>(dialler: impl FnOnce(DuplexStream) -> F) {
    let (near, far) = duplex(1 << 16);
    let began = Instant::now();
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let acceptor = admission(2);
    let (accepted, _kept_open) = tokio::join!(acceptor.accept_stream(far, remote), dialler(near));
    assert!(matches!(accepted, Err(AdmissionError::TimedOut)));
    assert_eq!(began.elapsed(), ADMISSION_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_closed_after_three_seconds() {
    check_slow(|stream| async { stream }).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_no_hello_after_tls_is_closed_after_three_seconds() {
    let tls = Tls::new(&identity(1)).unwrap();
    check_slow(|stream| async move { tls.connector().connect(server_name(), stream).await.unwrap() }).await;
}
