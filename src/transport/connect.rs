//! A fresh connection, opened only to see who answers at an address.

use std::io;
use std::net::SocketAddr;

use tokio::time::{sleep, timeout};

use super::admission::Admission;
use super::metered::Metered;
use super::tls::server_name;
use crate::id::NodeId;
use crate::mesh::ConnectOutcome;
use crate::time::Duration;

/// For TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The kernel of a process that has just died may take a connection before it closes the listener, and then resets it.
const PAUSE: Duration = Duration::from_millis(20);

impl Admission {
    /// Who answers at `addr`, where `expected` should be. It says no hello, so nobody is admitted.
    pub(super) async fn who_is_at(&self, addr: SocketAddr, expected: NodeId) -> ConnectOutcome {
        let proven = async {
            match self.proven_at(addr).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    sleep(PAUSE).await;
                    self.proven_at(addr).await
                }
                proven => proven,
            }
        };
        match timeout(CONNECT_TIMEOUT, proven).await {
            Ok(Ok(found)) if found == expected => ConnectOutcome::Proven,
            Ok(Ok(_)) => ConnectOutcome::OtherPeer,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => ConnectOutcome::Refused,
            Ok(Err(_)) | Err(_) => ConnectOutcome::Silent,
        }
    }

    async fn proven_at(&self, addr: SocketAddr) -> io::Result<NodeId> {
        let stream = Metered::new(self.connect(addr).await?, self.metrics());
        let stream = self.tls().connector().connect(server_name(), stream).await?;
        let channel = self.tls().channel(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(channel.peer)
    }
}
