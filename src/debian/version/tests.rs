//! Tests of the module above.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(left: &str, expected: Ordering, right: &str) {
    for text in [left, right] {
        text.parse::<Version>().unwrap();
    }
    assert_eq!(compare_versions(left, right), expected, "{left} against {right}");
    assert_eq!(compare_versions(right, left), expected.reverse(), "{right} against {left}");
}

/// Each pair was given to `dpkg --compare-versions` of dpkg 1.21.22; `tests/it/apt_agreement.rs`
/// compares many more.
#[test]
fn order_is_that_of_dpkg() {
    check("1.0", Ordering::Less, "1.1");
    check("1.9", Ordering::Less, "1.10");
    check("1:0.1", Ordering::Greater, "9.9");
    check("0:1.0", Ordering::Equal, "1.0");
    check("1.0-0", Ordering::Equal, "1.0");
    check("1.0~rc1-1", Ordering::Less, "1.0-1");
    check("1.0~~", Ordering::Less, "1.0~");
    check("1.0~", Ordering::Equal, "1.0~0");
    check("1.0+b1", Ordering::Greater, "1.0");
    check("1.0a", Ordering::Less, "1.0+");
    check("1.0-1+deb13u1", Ordering::Greater, "1.0-1");
    check("1.0-1~bpo13+1", Ordering::Less, "1.0-1");
    check("1.001", Ordering::Equal, "1.1");
    check("1.99999999999999999999999", Ordering::Less, "1.100000000000000000000000");
    check("1-1-1", Ordering::Greater, "1-1");
}

#[test]
fn what_is_not_a_version_is_refused() {
    let long = "1".repeat(VERSION_BYTES_MAX + 1);
    let bad = [
        "",
        "1-",
        "-1",
        "a:1",
        ":1",
        "1:",
        "1_2",
        "1 2",
        "1/2",
        "2147483648:1",
        "ü",
        "1\n",
        &long,
        "1:2:3 ",
    ];
    for text in bad {
        assert!(text.parse::<Version>().is_err(), "{text:?}");
    }
    for text in ["1", "2147483647:1", "0000000000001:1", "1:2:3", "r12", &long[1..]] {
        assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
    }
}

fn part() -> impl Strategy<Value = String> {
    "[0-9]{1,2}[a-b.+~0-9]{0,5}"
}

proptest! {
    #[test]
    fn order_is_total(a in part(), b in part(), c in part()) {
        let (a, b, c): (Version, Version, Version) =
            (a.parse().unwrap(), b.parse().unwrap(), c.parse().unwrap());
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn any_text_has_a_place(a in ".{0,20}", b in ".{0,20}") {
        prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
    }
}
