//! The hello: both sides prove the cluster key on this very TLS connection, before any protocol is spoken.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::keyring::{ClusterKey, KeyId};
use super::keys::Keys;
use crate::id::NodeId;
use crate::time::Duration;
use crate::wire::hello::{Hello, MAX_HELLO_LEN, Role};
use crate::wire::{self, WireError};

/// For TLS and the hello together.
pub(super) const ADMISSION_TIMEOUT: Duration = Duration::from_secs(3);

/// Two PeerIds, the exporter's output and a role.
const PROOF_LEN: usize = 1 + 38 + 38 + 32;

/// A connection whose two ends are proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) local: NodeId,
    pub(super) peer: NodeId,
    /// Output of the TLS exporter: unique to this connection.
    pub(super) exporter: [u8; 32],
}

/// What a node says of itself in every hello.
#[derive(Debug, Clone)]
pub(super) struct Introduction {
    pub(super) cluster: String,
    pub(super) keys: Keys,
    pub(super) boot_nonce: u64,
    /// Raised when a peer knows this node at a higher one.
    pub(super) epoch: Arc<AtomicU64>,
}

/// What a hello says beside, of the two ends of its link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    /// The epoch at which the sender knows the other side, 0 when it does not.
    pub(super) known_epoch: u64,
    /// The dialler keeps this link to watch the other side.
    pub(super) watch: bool,
}

/// What a peer that proved the cluster key said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Who it is.
    pub(super) peer: NodeId,
    /// Drawn at its boot.
    pub(super) boot_nonce: u64,
    /// Which key it proved.
    pub(super) key: KeyId,
    pub(super) greeting: Greeting,
}

/// Why a peer was not admitted.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    /// The other side hung up, which is all that a refused side sees.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    /// Not a hello.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// A role that this version does not play.
    #[error("role {0} is not known here")]
    Role(i32),
    /// Another cluster.
    #[error("it belongs to cluster '{0}'")]
    Cluster(String),
    /// A key that is not in the keyring.
    #[error("it uses cluster key {0}, which is not in the keyring")]
    Key(KeyId),
    /// The proof is wrong: another key, or relayed from another connection.
    #[error("its proof of cluster key {0} is wrong")]
    Proof(KeyId),
    /// Both ends have one identity.
    #[error("it has this node's own identity")]
    Itself,
    /// The cipher failed.
    #[error("the cipher failed")]
    Cipher,
}

impl Introduction {
    /// The dialler's side: proves first, then checks the answer.
    pub(super) async fn dial<S>(
        &self,
        stream: &mut S,
        channel: &Channel,
        greeting: Greeting,
    ) -> Result<Admitted, HelloError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        refuse_itself(channel)?;
        write(stream, &self.hello(channel, &self.keys.sealing(), greeting)?).await?;
        let answer = read(stream).await?;
        self.check(channel, &answer)?;
        Ok(admitted(channel, &answer))
    }

    /// The acceptor's side: says nothing to a peer that has not proven the key.
    pub(super) async fn accept<S>(
        &self,
        stream: &mut S,
        channel: &Channel,
        greeting: Greeting,
    ) -> Result<Admitted, HelloError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        refuse_itself(channel)?;
        let hello = read(stream).await?;
        // The answer uses the dialler's key, which it is known to have while a rotation is under way.
        let key = self.check(channel, &hello)?;
        write(stream, &self.hello(channel, &key, greeting)?).await?;
        Ok(admitted(channel, &hello))
    }

    fn hello(&self, channel: &Channel, key: &ClusterKey, greeting: Greeting) -> Result<Hello, HelloError> {
        let role = Role::DiallerIsClient;
        let proof = proof(role, &channel.local, &channel.peer, &channel.exporter);
        let mac = hmac::sign(&link_key(key)?, &proof);
        Ok(Hello {
            cluster: self.cluster.clone(),
            key_id: key.id().0,
            role: role.into(),
            boot_nonce: self.boot_nonce,
            epoch: self.epoch.load(Ordering::Relaxed),
            mac: mac.as_ref().to_vec(),
            known_epoch: greeting.known_epoch,
            watch: greeting.watch,
        })
    }

    /// The key with which `hello` proves that its sender belongs here.
    fn check(&self, channel: &Channel, hello: &Hello) -> Result<ClusterKey, HelloError> {
        if hello.role != i32::from(Role::DiallerIsClient) {
            return Err(HelloError::Role(hello.role));
        }
        if hello.cluster != self.cluster {
            return Err(HelloError::Cluster(hello.cluster.clone()));
        }
        let id = KeyId(hello.key_id);
        let key = self.keys.key(id).ok_or(HelloError::Key(id))?;
        let proof = proof(Role::DiallerIsClient, &channel.peer, &channel.local, &channel.exporter);
        hmac::verify(&link_key(&key)?, &proof, &hello.mac).map_err(|_| HelloError::Proof(id))?;
        Ok(key)
    }
}

const fn admitted(channel: &Channel, hello: &Hello) -> Admitted {
    let greeting = Greeting { known_epoch: hello.known_epoch, watch: hello.watch };
    Admitted { peer: channel.peer, boot_nonce: hello.boot_nonce, key: KeyId(hello.key_id), greeting }
}

fn refuse_itself(channel: &Channel) -> Result<(), HelloError> {
    if channel.local == channel.peer { Err(HelloError::Itself) } else { Ok(()) }
}

fn link_key(key: &ClusterKey) -> Result<hmac::Key, HelloError> {
    key.link_key().map_err(|_| HelloError::Cipher)
}

fn proof(role: Role, sender: &NodeId, receiver: &NodeId, exporter: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PROOF_LEN);
    bytes.push(role as u8);
    bytes.extend_from_slice(&sender.peer_id_bytes());
    bytes.extend_from_slice(&receiver.peer_id_bytes());
    bytes.extend_from_slice(exporter);
    bytes
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, hello: &Hello) -> Result<(), HelloError> {
    let body = wire::encode(hello);
    let too_long = WireError::TooLong { what: "hello", len: body.len(), limit: MAX_HELLO_LEN };
    if body.len() > MAX_HELLO_LEN {
        return Err(too_long.into());
    }
    let len = u16::try_from(body.len()).map_err(|_| too_long)?;
    let mut frame = Vec::with_capacity(2 + body.len());
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Hello, HelloError> {
    let len = usize::from(stream.read_u16().await?);
    if len > MAX_HELLO_LEN {
        return Err(WireError::TooLong { what: "hello", len, limit: MAX_HELLO_LEN }.into());
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    Ok(Hello::decode(&body)?)
}
