//! The operator commands: `members`, `services`, `leader`, `why`, `events`, `leave` and `keygen`.
