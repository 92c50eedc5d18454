//! Tests of what checks look at: certificates made by OpenSSL, a kernel's mounts, hostile bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// Version 3, its end as `UTCTime`. Made with `openssl req -x509 -days 90`; the dates are those that
/// `openssl x509 -enddate` tells.
const SHORT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBRDCB96ADAgECAhR0hVKQG/PEDP7Ph41QdKd3qMVEaTAFBgMrZXAwGDEWMBQG
A1UEAwwNc2hvcnQuZXhhbXBsZTAeFw0yNjExMjUyMjUyMjVaFw0yNzAyMjMyMjUy
MjVaMBgxFjAUBgNVBAMMDXNob3J0LmV4YW1wbGUwKjAFBgMrZXADIQDqKSR0QhfZ
/S1/gcjiaD4AKKEQNi0ihRz0rtb8vPzQhKNTMFEwHQYDVR0OBBYEFGPf6XG/LGYr
xNsnp5+aPXLbPbZOMB8GA1UdIwQYMBaAFGPf6XG/LGYrxNsnp5+aPXLbPbZOMA8G
A1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EAZ8Yyms0pDPqH98t0CYWm5M6svlCPKw0e
x5IPiL6Dz/Aneob5fz7rp50LyO/kpfh+j6dx9k9e4BWtZ3y/I8MADg==
-----END CERTIFICATE-----
";
const SHORT_ENDS: u64 = 1_803_423_145;
/// Version 1, its end as `GeneralizedTime`. Made with `-days 12000`.
const LONG: &str = "\
-----BEGIN CERTIFICATE-----
MIHqMIGdAhR8FZnv0mlkeQRio8L5Nk49jhe1jTAFBgMrZXAwFzEVMBMGA1UEAwwM
bG9uZy5leGFtcGxlMCAXDTI2MTEyNTIyNTEyOVoYDzIwNTkxMDAzMjI1MTI5WjAX
MRUwEwYDVQQDDAxsb25nLmV4YW1wbGUwKjAFBgMrZXADIQDqKSR0QhfZ/S1/gcji
aD4AKKEQNi0ihRz0rtb8vPzQhDAFBgMrZXADQQDVlICLqWL8SOgkLURv4ZM2MErC
zsH2RDkQSztbDvaS8u2/SHpXZcMCg5pe6Zkhk3CavNcNdEwQD5ROIzI9vQcE
-----END CERTIFICATE-----
";
const LONG_ENDS: u64 = 2_832_447_089;

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

#[test]
fn the_certificate_that_ends_first_counts() {
    assert_eq!(first_expiry(SHORT.as_bytes()), Ok(SHORT_ENDS));
    assert_eq!(first_expiry(LONG.as_bytes()), Ok(LONG_ENDS));
    assert_eq!(first_expiry(&der(SHORT)), Ok(SHORT_ENDS));
    let chain = format!("the host's:\n{LONG}\nwho signed it:\n{SHORT}");
    assert_eq!(first_expiry(chain.as_bytes()), Ok(SHORT_ENDS));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let check = |file: &[u8], expected| assert_eq!(first_expiry(file), Err(expected));
    check(b"", CertificateError::None);
    check(
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        CertificateError::None,
    );
    check(b"\xff\xfe", CertificateError::None);
    check(SHORT.replace("-----END", "-----").as_bytes(), CertificateError::Pem);
    check(SHORT.replace('M', "*").as_bytes(), CertificateError::Pem);
    check(&der(SHORT)[..60], CertificateError::Der);
    let second_damaged =
        format!("{LONG}-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----");
    check(second_damaged.as_bytes(), CertificateError::Der);
    // Lengths of 8 and more bytes, a length without end, and one beyond the file.
    for length in ["30ffffffffff", "3088ffffffffffffffff", "3080", "3084ffffffff", "30"] {
        let bytes: Vec<u8> = (0..length.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&length[at..at + 2], 16).unwrap())
            .collect();
        check(&bytes, CertificateError::Der);
    }
}

#[test]
fn dates_that_are_none_are_refused() {
    let good = der(SHORT);
    let at = good.windows(6).position(|bytes| bytes == b"270223");
    let at = at.expect("the end of the certificate as text");
    for (from, text) in
        [(2, "13"), (2, "00"), (4, "32"), (6, "24"), (8, "60"), (0, "2x"), (12, "+")]
    {
        let mut bad = good.clone();
        bad[at + from..at + from + text.len()].copy_from_slice(text.as_bytes());
        assert_eq!(first_expiry(&bad), Err(CertificateError::Der), "{text} at {from}");
    }
    let mut old = good;
    old[at..at + 2].copy_from_slice(b"60");
    // 1960: before all that is counted, so it has ended.
    assert!(first_expiry(&old).unwrap() < 86_400);
}

#[test]
fn mounts_are_found_by_their_whole_path() {
    let mountinfo = "\
22 1 254:1 / / ro,relatime - tmpfs none ro
25 22 0:23 / /srv/a\\040b\\134c rw shared:2 - ext4 /dev/vda3 rw
26 22 0:24 / /var rw - ext4 /dev/vda3 rw
short line
";
    for path in ["/", "/var", "/var/", "/srv/a b\\c"] {
        assert!(is_mount_point(mountinfo, path), "{path}");
    }
    for path in ["/va", "/var/lib", "/srv/a", "", "/srv/a\\040b\\134c"] {
        assert!(!is_mount_point(mountinfo, path), "{path}");
    }
}

#[test]
fn a_clock_is_right_when_somebody_keeps_it_so() {
    let clock = Clock { status: 0x2001, error_microseconds: 1_500_000 };
    assert_eq!(clock.check(None), Ok(()));
    assert_eq!(clock.check(Some(2)), Ok(()));
    assert_eq!(clock.check(Some(1)), Err("the clock may be off by 1500 ms".to_owned()));
    let alone = Clock { status: UNSYNCHRONISED, error_microseconds: 0 };
    assert_eq!(alone.check(None), Err("nobody keeps the clock right".to_owned()));
}

#[test]
fn checks_come_back_from_their_text_and_older_ones_are_read() {
    let check = Check {
        name: "a".to_owned(),
        probe: Probe::Disk { path: "/var".to_owned(), free_bytes: 1, free_percent: 2 },
        vantage: Vantage::Inside,
        within_seconds: 3,
        in_test: false,
    };
    let text = serde_json::to_string(&check).unwrap();
    assert_eq!(serde_json::from_str::<Check>(&text).unwrap(), check);
    let older = r#"{"name": "a", "probe": {"kind": "unit", "unit": "x.service"},
        "vantage": "outside", "within_seconds": 5}"#;
    assert!(serde_json::from_str::<Check>(older).unwrap().in_test);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0_usize..200, change in prop::num::u8::ANY) {
        let _answer = first_expiry(&bytes);
        let mut changed = der(SHORT);
        let at = at % changed.len();
        changed[at] = change;
        let _answer = first_expiry(&changed);
        let _answer = first_expiry(&changed[..at]);
        let _answer = is_mount_point(&String::from_utf8_lossy(&bytes), "/");
    }
}
