//! Configuration: flags, environment and file, parsed and checked once.
