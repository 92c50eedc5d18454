//! Tests of derived identifiers.

use super::{Guid, uuid};

#[test]
fn identifiers_differ_by_host_and_role_and_are_valid() {
    let one = uuid("vps1", "disk");
    assert_ne!(one, uuid("vps2", "disk"));
    assert_ne!(one, uuid("vps1", "nexus-root"));
    assert_eq!((one[6] >> 4, one[8] >> 6), (8, 2));
}

#[test]
fn a_guid_prints_like_the_uuid_it_comes_from() {
    let [a, b, c, d, ..] = uuid("vps1", "disk");
    assert_eq!(Guid::derived("vps1", "disk").as_bytes()[..4], [d, c, b, a]);
}
