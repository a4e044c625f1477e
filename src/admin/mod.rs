//! The admin API, the metrics and the health endpoints.
