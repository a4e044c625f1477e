//! Tests of the decoder and of the lines.
