//! `nexus-agent`: what changes a host from within.
