//! Builds what the program carries inside itself.

fn main() {}
