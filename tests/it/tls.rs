//! TLS at the ingress, a certificate that is renewed, and services behind TLS.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use http::StatusCode;
use meshnode::dev::services::{Kind, Sample};
use rustls::pki_types::CertificateDer;

use crate::support::tls::{Authority, get};
use crate::support::{Peer, SOON, World, eventually};

/// A node with a certificate, and its service.
async fn with_tls(world: &World) -> anyhow::Result<(Peer, Sample)> {
    let path = |name: &str| world.path(name).display().to_string();
    let setup = world.node("n1").arg("--tls-cert", &path("server.pem")).arg("--tls-key", &path("server.key"));
    let sample = Sample::start(Kind::Echo, "n1", "1").await?;
    let peer = setup.service(&sample).start().await?;
    peer.sees_healthy("echo", 1, SOON).await?;
    Ok((peer, sample))
}

fn ingress(peer: &Peer) -> anyhow::Result<SocketAddr> {
    let url = &peer.node.ready().ingress;
    Ok(url.strip_prefix("https://").with_context(|| format!("{url} is not https"))?.parse()?)
}

#[tokio::test]
async fn the_ingress_agrees_on_http2_or_http1_over_tls() -> anyhow::Result<()> {
    let world = World::new()?;
    let authority = Authority::new()?;
    authority.write_server(&world)?;
    let (peer, _echo) = with_tls(&world).await?;
    let addr = ingress(&peer)?;
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = authority.connect(addr, offered).await?;
        let seen = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        ensure!(seen.as_deref() == agreed, "{offered:?} became {seen:?}");
        let answer = get(stream, "/api/service/echo/x").await?;
        ensure!(answer.status() == StatusCode::OK, "{answer:?}");
    }
    ensure!(authority.connect(addr, &["spdy/1"]).await.is_err(), "an unknown protocol was agreed on");
    ensure!(Authority::new()?.connect(addr, &["h2"]).await.is_err(), "another authority's client came in");
    world.passed()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_after_sighup_and_a_broken_one_is_not() -> anyhow::Result<()> {
    let world = World::new()?;
    let authority = Authority::new()?;
    let first = authority.write_server(&world)?;
    let (peer, _echo) = with_tls(&world).await?;
    let addr = ingress(&peer)?;
    let shown = async || -> anyhow::Result<CertificateDer<'static>> {
        let stream = authority.connect(addr, &["h2"]).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        shown.context("no certificate")
    };
    let shows = async |wanted: &CertificateDer<'static>| {
        let is_shown = async || {
            ensure!(shown().await? == *wanted, "another certificate is shown");
            Ok(())
        };
        eventually(SOON, is_shown).await
    };
    shows(&first).await?;
    let standing = authority.connect(addr, &["h2"]).await?;

    let second = authority.write_server(&world)?;
    peer.reload()?;
    shows(&second).await?;
    ensure!(get(standing, "/health").await?.status() == StatusCode::OK, "a connection that stood broke");

    // Half of a renewal: the key of another certificate.
    let key = std::fs::read(world.path("server.key"))?;
    authority.write_server(&world)?;
    std::fs::write(world.path("server.key"), key)?;
    peer.reload()?;
    let log = world.node("n1").log();
    let refused = async || {
        let said = std::fs::read_to_string(&log)?.contains("the certificate was not reloaded");
        ensure!(said, "nothing is said of the broken certificate");
        Ok(())
    };
    eventually(SOON, refused).await?;
    shows(&second).await?;
    world.passed()
}

#[tokio::test]
async fn https_services_are_reached_by_alpn_once_their_authority_is_trusted() -> anyhow::Result<()> {
    let world = World::new()?;
    let authority = Authority::new()?;
    let ca = authority.write(&world)?.display().to_string();
    let service = |name: &str, addr: SocketAddr| format!("{name}=https://{addr}");
    let two = service("two", authority.serve(&["h2", "http/1.1"]).await?);
    let one = service("one", authority.serve(&["http/1.1"]).await?);
    let services = |name: &str| world.node(name).arg("--service", &one).arg("--service", &two);

    let trusting = services("trusting").env("SSL_CERT_FILE", &ca).start().await?;
    for (name, version) in [("one", "HTTP/1.1"), ("two", "HTTP/2.0")] {
        trusting.sees_healthy(name, 1, SOON).await?;
        let answer = trusting.get(name, "").await?;
        ensure!((answer.status, &answer.body[..]) == (StatusCode::OK, version.as_bytes()), "{answer:?}");
    }

    let setup = services("wary");
    let wary = setup.start().await?;
    let refused = async || {
        let answer = wary.get("two", "").await?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE && body.contains("\"unhealthy\""), "{body}");
        let log = std::fs::read_to_string(setup.log())?;
        ensure!(log.contains("invalid peer certificate: UnknownIssuer"), "the log does not say why");
        Ok(())
    };
    eventually(SOON, refused).await?;
    world.passed()
}
