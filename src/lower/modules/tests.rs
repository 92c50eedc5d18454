//! Order of loading.

use super::*;

const DEP: &str = "kernel/fs/a/a.ko.xz: kernel/lib/b.ko.xz kernel/lib/c.ko.xz\n\
                   kernel/lib/b.ko.xz: kernel/lib/c.ko.xz\n\
                   kernel/lib/c.ko.xz:\n\
                   kernel/x/virtio-blk.ko: kernel/lib/c.ko.xz\n";

#[test]
fn what_is_needed_comes_first_and_once() {
    let order = load_order(DEP, &["a", "virtio_blk", "built_in"]).unwrap();
    assert_eq!(
        order,
        [
            "kernel/lib/c.ko.xz",
            "kernel/lib/b.ko.xz",
            "kernel/fs/a/a.ko.xz",
            "kernel/x/virtio-blk.ko"
        ]
    );
}

#[test]
fn a_need_that_is_not_listed_is_an_error() {
    let error = load_order("k/a.ko: k/gone.ko\n", &["a"]).unwrap_err();
    assert_eq!(error, ModulesError { module: "k/a.ko".into(), needed: "k/gone.ko".into() });
}
