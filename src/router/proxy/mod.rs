//! The proxy: ingress for local callers, the edge listener, and the exit to the services of this node.
