//! Test machines in QEMU: start, console, network from outside, checks, reports.
