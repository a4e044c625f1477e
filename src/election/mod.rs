//! The election of the heartbeat leader: a deterministic, non-preemptive bully over the membership view.
