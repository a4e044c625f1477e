//! How a node learns under which address others reach it: it asks a member over a link.

use std::net::IpAddr;

use super::WireError;

/// The largest encoded question or answer.
pub const MAX_WHOAMI_LEN: usize = 64;

/// From which IP address do you see me, and do you reach me there?
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WhoamiRequest {
    /// The port on which the asking node listens.
    #[prost(uint32, tag = "1")]
    pub port: u32,
}

/// What the asked member saw and tried.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WhoamiResponse {
    /// The source address of the link: 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub observed: Vec<u8>,
    /// A link to that address and the port of the question reached the asking node.
    #[prost(bool, tag = "2")]
    pub confirmed: bool,
}

impl WhoamiRequest {
    /// Decodes a question.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        super::decode(bytes, "whoami request", MAX_WHOAMI_LEN)
    }

    /// The port to dial back.
    pub fn checked_port(&self) -> Result<u16, WireError> {
        match u16::try_from(self.port) {
            Ok(port) if port != 0 => Ok(port),
            Ok(_) | Err(_) => Err(WireError::Field { what: "whoami request", field: "port" }),
        }
    }
}

impl WhoamiResponse {
    /// An answer.
    pub fn new(observed: IpAddr, confirmed: bool) -> Self {
        let observed = match observed {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        Self { observed, confirmed }
    }

    /// Decodes an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        super::decode(bytes, "whoami response", MAX_WHOAMI_LEN)
    }

    /// The source address.
    pub fn ip(&self) -> Result<IpAddr, WireError> {
        if let Ok(v4) = <[u8; 4]>::try_from(self.observed.as_slice()) {
            return Ok(v4.into());
        }
        <[u8; 16]>::try_from(self.observed.as_slice())
            .map(IpAddr::from)
            .map_err(|_| WireError::Field { what: "whoami response", field: "observed" })
    }
}
