//! Header values.

use super::*;

#[test]
fn base64_of_rfc_4648() {
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
    ] {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
    assert_eq!(basic(b"Aladdin", b"open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

#[test]
fn ranges_tell_their_first_byte() {
    assert_eq!(first_byte_of_range("bytes 100-199/200"), Some(100));
    assert_eq!(first_byte_of_range("bytes 0-0/*"), Some(0));
    for text in ["", "bytes */200", "items 1-2/3", "bytes -1-2/3"] {
        assert_eq!(first_byte_of_range(text), None, "{text}");
    }
}

#[test]
fn waits_are_seconds_or_dates() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        let pairs = pairs.iter().map(|(name, value)| {
            (ureq::http::HeaderName::from_static(name), ureq::http::HeaderValue::from_static(value))
        });
        retry_after(&pairs.collect())
    };
    assert_eq!(headers(&[("retry-after", "7")]), Some(7));
    let until = ("retry-after", "Sat, 12 Sep 2026 07:55:41 GMT");
    assert_eq!(headers(&[until, ("date", "Sat, 12 Sep 2026 07:55:11 GMT")]), Some(30));
    assert_eq!(headers(&[until]), None);
    assert_eq!(headers(&[("retry-after", "soon")]), None);
    assert_eq!(headers(&[]), None);
}
