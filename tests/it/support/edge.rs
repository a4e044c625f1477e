//! An edge that asks a node, and signs.

use anyhow::Context;
use aws_lc_rs::hmac;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and answer to a request for the list of services, signed with `secret`.
pub(crate) async fn services(
    edge: &str,
    kid: &str,
    secret: &[u8],
    nonce: &str,
) -> anyhow::Result<(u16, String)> {
    get(edge, "/api/services", (kid, secret), nonce).await
}

/// The same for any path.
pub(crate) async fn get(
    edge: &str,
    path: &str,
    (kid, secret): (&str, &[u8]),
    nonce: &str,
) -> anyhow::Result<(u16, String)> {
    let t = meshnode::clock::unix_now().as_secs();
    let text = format!("{t}\n{nonce}\nGET\n{path}\nhere\n192.0.2.7\n\n\n");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    let sig: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut stream = TcpStream::connect(edge.strip_prefix("http://").context("an edge listener")?).await?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\
         x-mesh-edge: kid={kid},t={t},n={nonce},ip=192.0.2.7,sig={sig}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok((answer.split(' ').nth(1).context("no status")?.parse()?, answer))
}
