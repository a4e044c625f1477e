//! Under which address others reach this node: configured, bound, or as a peer saw it and confirmed by dialling back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::sync::mpsc;

use super::RunError;
use crate::config::{Config, HostPort};
use crate::mesh::{Input, LocalChange};
use crate::transport::Links;

/// Between two tries to learn the address from a seed.
const RETRY: Duration = Duration::from_secs(5);

/// An address of the documentation range (RFC 5737): connecting a UDP socket to it sends nothing, but shows the source
/// that the routing table would choose.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// What is known of the own address.
#[derive(Debug)]
pub(super) struct Address {
    current: SocketAddr,
    /// Configured or bound: what links show is no news.
    is_settled: bool,
}

impl Address {
    /// Finds the address of a node that is bound to `bound`.
    pub(super) async fn find(config: &Config, bound: SocketAddr) -> Result<Self, RunError> {
        if let Some(advertise) = &config.advertise {
            let found = tokio::net::lookup_host((advertise.host.as_str(), advertise.port)).await;
            let addr = found.ok().and_then(|mut found| found.next());
            let current = addr.ok_or_else(|| RunError::Advertise(advertise.to_string()))?;
            return Ok(Self { current, is_settled: true });
        }
        if !bound.ip().is_unspecified() {
            return Ok(Self { current: bound, is_settled: true });
        }
        let guess = source_towards(ELSEWHERE).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Ok(Self { current: SocketAddr::new(guess, bound.port()), is_settled: false })
    }

    pub(super) const fn current(&self) -> SocketAddr {
        self.current
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// An admitted peer reached this node at a local address: better than a guess, as there is no NAT between. That a
    /// peer on the same machine came over loopback says nothing of where the others are.
    pub(super) fn reached_at(&mut self, ip: IpAddr) -> Option<SocketAddr> {
        let is_narrower = ip.is_loopback() && !self.current.ip().is_loopback();
        if self.is_settled || is_narrower || ip == self.current.ip() {
            return None;
        }
        self.current.set_ip(ip);
        // One such address is as good as another (a second network, a container's bridge): it must not go to and fro.
        self.is_settled = !ip.is_loopback();
        Some(self.current)
    }

    /// A peer has dialled this address back.
    pub(super) const fn confirm(&mut self, addr: SocketAddr) {
        self.current = addr;
        self.is_settled = true;
    }
}

fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified())
}

/// Asks the seeds in turn under which address they see this node, until one has dialled back.
pub(super) async fn learn(links: Links, seeds: Vec<HostPort>, port: u16, results: mpsc::Sender<Input>) {
    while !results.is_closed() {
        for seed in &seeds {
            let Ok(addresses) = tokio::net::lookup_host((seed.host.as_str(), seed.port)).await else {
                continue;
            };
            for addr in addresses {
                let Ok(seen) = links.whoami(addr, port).await else { continue };
                if seen.confirmed {
                    let addr = SocketAddr::new(seen.observed, port);
                    tracing::info!(%addr, by = %seen.peer, "seen under this address");
                    // The loop ends before its tasks do.
                    let _ = results.send(Input::Local(LocalChange::Address(addr))).await;
                    return;
                }
                tracing::warn!(
                    observed = %seen.observed, port, by = %seen.peer,
                    "a peer sees this node but cannot dial it back; set --advertise, or open the port"
                );
            }
        }
        tokio::select! {
            () = results.closed() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

#[cfg(test)]
mod tests;
