//! Tests of the probe. What it says here depends on the machine; that it ends does not.

use super::*;

#[test]
fn a_device_that_is_not_there_or_not_kvm_is_passed_over() {
    assert!(matches!(probe(Path::new("/no/such/device")), Err(NoKvm::Open(_))));
    let other = probe(Path::new("/dev/null")).unwrap_err();
    assert_eq!(other.to_string(), "/dev/kvm opens, but it cannot say its version");
}

#[test]
fn the_probe_ends_in_time_and_gives_a_reason_unless_kvm_works() {
    let begin = std::time::Instant::now();
    let (accelerator, reason) = Accelerator::best();
    assert!(begin.elapsed() < 5 * GUEST_WITHIN);
    assert_eq!(accelerator == Accelerator::Tcg, reason.is_some());
}

#[test]
fn the_code_and_the_tables_lie_apart() {
    assert!(CODE_ADDRESS + (CODE.len() as u64) < LEVEL_4_ADDRESS);
    assert!(LEVEL_2_ADDRESS + PAGE_BYTES as u64 <= MEMORY_BYTES as u64);
}
