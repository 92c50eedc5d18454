//! Tests of the reason why user namespaces are refused.

use super::Obstacle;

#[track_caller]
fn check(switches: &[(&str, u64)], expected: Obstacle) {
    let look = |name: &str| switches.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    assert_eq!(Obstacle::from_switches(1, look), expected);
}

#[test]
fn each_switch_is_named() {
    check(&[("user/max_user_namespaces", 0)], Obstacle::Limit);
    check(
        &[("user/max_user_namespaces", 9), ("kernel/unprivileged_userns_clone", 0)],
        Obstacle::Switch,
    );
    check(&[("kernel/apparmor_restrict_unprivileged_userns", 1)], Obstacle::AppArmor);
}

#[test]
fn without_a_switch_the_kernel_is_quoted() {
    check(
        &[("user/max_user_namespaces", 9), ("kernel/unprivileged_userns_clone", 1)],
        Obstacle::Refused { errno: 1 },
    );
    let text = Obstacle::Refused { errno: 1 }.to_string();
    assert_eq!(text, "the kernel answers Operation not permitted (os error 1)");
}
