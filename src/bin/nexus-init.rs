//! The first program of the host: finds the root, mounts the generation, hands over to systemd.

fn main() {}
