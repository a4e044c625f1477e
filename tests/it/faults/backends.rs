//! Services that go wrong in one way each, and that note what they carried out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// How a service goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not at all.
    None,
    /// Resets the connection once it has the request.
    Resets,
    /// Answers 500.
    Fails,
    /// Takes a tenth of a second.
    Slow,
    /// Never answers.
    Mute,
    /// Closes each connection after an answer without having said so.
    Closes,
}

/// How often each request was carried out, by method and path.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<BTreeMap<String, usize>>>);

impl Ledger {
    fn note(&self, name: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn times(&self, name: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
    }
}

/// A running service. Its checks always pass.
#[derive(Debug)]
pub(super) struct Backend {
    addr: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

impl Backend {
    pub(super) async fn start(fault: Fault, ledger: &Ledger) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let ledger = ledger.clone();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, fault, ledger.clone()));
            }
        });
        Ok(Self { addr, _server: AbortOnDropHandle::new(server) })
    }

    /// A table of the configuration file that offers it.
    pub(super) fn table(&self) -> String {
        format!(
            "[[service]]\nname = \"s\"\nurl = \"http://{}\"\ntimeouts = {{ first_byte = \"700ms\" }}\n",
            self.addr
        )
    }
}

async fn serve(stream: TcpStream, fault: Fault, ledger: Ledger) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (name, length) = read_head(&mut stream).await?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let fault = if name == "GET /health" { Fault::None } else { fault };
        let status = match fault {
            Fault::None | Fault::Closes => "200 OK",
            Fault::Slow => {
                sleep(Duration::from_millis(100)).await;
                "200 OK"
            }
            Fault::Fails => "500 Internal Server Error",
            Fault::Resets => return stream.get_ref().set_zero_linger().ok(),
            Fault::Mute => return std::future::pending().await,
        };
        ledger.note(&name);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).await.ok()?;
        if fault == Fault::Closes {
            return None;
        }
    }
}

/// Method and path, and the length of the body; `None` at the end of the connection.
async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let name = line.rsplit_once(' ')?.0.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((field, value)) = line.trim_end().split_once(": ") else { return Some((name, length)) };
        if field.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
}
