//! How much of what a TCP connection sent its peer's kernel has not acknowledged yet.

use std::io;
use std::net::SocketAddr;

/// Bytes that were written to the connection between these two addresses and that the peer's kernel has not acknowledged.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn unacknowledged(local: SocketAddr, remote: SocketAddr) -> io::Result<u32> {
    linux::ask(&linux::question(local, remote))
}

/// Other systems have no such question.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn unacknowledged(_local: SocketAddr, _remote: SocketAddr) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The kernel's `sock_diag` over netlink, see sock_diag(7): it needs no file descriptor of the connection, which TLS and
/// HTTP/2 hold, and no unsafe code, as `getsockopt(TCP_INFO)` would.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io;
    use std::net::{IpAddr, SocketAddr};

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    };

    const HEADER_LEN: usize = 16;
    const QUESTION_LEN: usize = HEADER_LEN + 56;

    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    const TCP_ESTABLISHED: u8 = 1;

    /// `idiag_state` and `idiag_wqueue` of `struct inet_diag_msg`, behind the header.
    const STATE_AT: usize = HEADER_LEN + 1;
    const UNACKNOWLEDGED_AT: usize = HEADER_LEN + 60;

    /// `struct nlmsghdr` and `struct inet_diag_req_v2`, which names one connection.
    pub(super) fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
        let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let mut bytes = Vec::with_capacity(QUESTION_LEN);
        bytes.extend((QUESTION_LEN as u32).to_ne_bytes());
        bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend(NLM_F_REQUEST.to_ne_bytes());
        bytes.extend([0; 8]);
        // No extensions, and connections of any state.
        bytes.extend([family.as_raw() as u8, IPPROTO_TCP, 0, 0]);
        bytes.extend(u32::MAX.to_ne_bytes());
        bytes.extend(local.port().to_be_bytes());
        bytes.extend(remote.port().to_be_bytes());
        bytes.extend(padded(local.ip()));
        bytes.extend(padded(remote.ip()));
        // Any interface, and no cookie.
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([0xff; 8]);
        bytes
    }

    fn padded(ip: IpAddr) -> [u8; 16] {
        match ip {
            IpAddr::V6(ip) => ip.octets(),
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
        }
    }

    pub(super) fn ask(question: &[u8]) -> io::Result<u32> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
        send(&socket, question, SendFlags::empty())?;
        // The kernel answers within the call that asked.
        let mut answer = [0; 512];
        let (len, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
        let [_, _, _, _, low, high, ..] = answer;
        // Without such a connection, it may tell of a listener at that address.
        let is_found = u16::from_ne_bytes([low, high]) == SOCK_DIAG_BY_FAMILY;
        if !is_found || answer[STATE_AT] != TCP_ESTABLISHED {
            return Err(io::ErrorKind::NotFound.into());
        }
        let field = answer[..len].get(UNACKNOWLEDGED_AT..UNACKNOWLEDGED_AT + 4);
        let field = field.and_then(|bytes| bytes.try_into().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(u32::from_ne_bytes(field))
    }
}
