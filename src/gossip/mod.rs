//! Gossip: manifests and load of all members, spread by adverts and repaired by anti-entropy.
