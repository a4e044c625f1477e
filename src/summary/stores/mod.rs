//! The stores of the summary: a file, and Cloudflare Workers KV over REST.
