//! Membership: who is in the mesh and who lives, by SWIM with Lifeguard.
