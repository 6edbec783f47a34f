//! Text to typed configuration.
