//! The network: sealed datagrams, and links of HTTP/2 over TLS that prove both identities and the cluster key.
