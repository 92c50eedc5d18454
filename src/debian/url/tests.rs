//! Addresses: what is taken, what is refused, and what is never shown.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&match text.parse::<Url>() {
        Ok(url) => url.to_string(),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn repositories_are_taken() {
    check("https://deb.example.org/debian/", &expect!["https://deb.example.org/debian/"]);
    check("HTTP://Deb.Example.org", &expect!["http://deb.example.org/"]);
    check("http://[::1]:8080/debian", &expect!["http://[::1]:8080/debian"]);
    check("file:/srv/mirror", &expect!["file:///srv/mirror"]);
    check("file:///srv/mirror", &expect!["file:///srv/mirror"]);
}

#[test]
fn what_is_no_address_is_refused() {
    check(
        "ftp://example.org/",
        &expect![
            "error: `ftp://example.org/` does not start with `https://`, `http://` or `file:///`"
        ],
    );
    check("https:///debian", &expect!["error: `https:///debian` has no valid host"]);
    check(
        "https://a b/",
        &expect![
            "error: `https://a b/` holds a space, a control character or one that is not ASCII"
        ],
    );
    check("https://a/?x=1", &expect!["error: `https://a/?x=1` holds a `?`"]);
    check("https://a:99999/", &expect!["error: `https://a:99999/` has no valid host"]);
    check("https://[::1/", &expect!["error: `https://[::1/` has no valid host"]);
    check("file://host/path", &expect!["error: `file://host/path` has no valid host"]);
    check("", &expect!["error: `` does not start with `https://`, `http://` or `file:///`"]);
}

#[test]
fn credentials_are_used_but_never_shown() {
    let url: Url = "https://user:p%40ss@example.org/debian".parse().unwrap();
    assert_eq!(url.credentials(), Some((b"user".to_vec(), b"p@ss".to_vec())));
    assert_eq!(
        format!("{url} {url:?}"),
        "https://example.org/debian Url(https://example.org/debian)"
    );
    check(
        "sftp://user:secret@example.org/",
        &expect!["error: `…@example.org/` does not start with `https://`, `http://` or `file:///`"],
    );
    check("http://user:secret@/x", &expect!["error: `http:///x` has no valid host"]);
}

#[track_caller]
fn check_join(relative: &str, expected: &Expect) {
    let base: Url = "https://example.org/debian/".parse().unwrap();
    expected.assert_eq(&match base.join(relative) {
        Ok(url) => url.to_string(),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn paths_stay_inside_the_repository() {
    check_join(
        "pool/main/g/g++_1.0~rc1_amd64.deb",
        &expect!["https://example.org/debian/pool/main/g/g%2B%2B_1.0~rc1_amd64.deb"],
    );
    check_join("./foo%3a.deb", &expect!["https://example.org/debian/foo%253a.deb"]);
    check_join("a/../../etc", &expect!["error: `a/../../etc` is not a path inside a repository"]);
    check_join("/etc/passwd", &expect!["error: `/etc/passwd` is not a path inside a repository"]);
    check_join(
        "a\r\nHost: x",
        &expect!["error: `a\u{fffd}\u{fffd}Host: x` is not a path inside a repository"],
    );
    check_join("./", &expect!["error: `./` is not a path inside a repository"]);
    check_join("a b?c#d", &expect!["https://example.org/debian/a%20b%3Fc%23d"]);
}

#[track_caller]
fn check_redirect(location: &str, expected: &Expect) {
    let from: Url = "https://user:secret@example.org/a/b".parse().unwrap();
    expected.assert_eq(&match from.redirected(location) {
        Ok(url) => format!("{url} {:?}", url.credentials()),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn redirects_lose_credentials_and_cannot_leave_the_network() {
    check_redirect(
        "https://cdn.example.net/b?sig=1",
        &expect!["https://cdn.example.net/b?sig=1 None"],
    );
    check_redirect("/c", &expect!["https://example.org/c None"]);
    check_redirect("c", &expect!["https://example.org/a/c None"]);
    check_redirect("//other/x#y", &expect!["https://other/x None"]);
    check_redirect(
        "file:///etc/shadow",
        &expect!["error: `file:///etc/shadow` must not follow on https"],
    );
    check_redirect(
        "http://example.org/b",
        &expect!["error: `http://example.org/b` must not follow on https"],
    );
}

#[test]
fn local_paths_are_decoded() {
    let url: Url = "file:///srv/my%20mirror".parse().unwrap();
    let file = url.join("pool/a+b%.deb").unwrap();
    assert_eq!(file.local_path().unwrap(), PathBuf::from("/srv/my mirror/pool/a+b%.deb"));
    assert_eq!("https://a/".parse::<Url>().unwrap().local_path(), None);
}

#[test]
fn siblings() {
    let url: Url = "http://example.org/debian/".parse().unwrap();
    assert_eq!(url.with_suffix("-security").to_string(), "http://example.org/debian-security");
    assert_eq!(url.last_segment(), "debian");
    assert_eq!("http://[::1]:80/".parse::<Url>().unwrap().host(), "[::1]");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, relative: String) {
        if let Ok(url) = text.parse::<Url>() {
            let _ = (url.join(&relative), url.redirected(&relative), url.credentials());
        }
        let base: Url = "https://example.org/debian".parse().unwrap();
        if let Ok(joined) = base.join(&relative) {
            assert!(joined.to_string().starts_with("https://example.org/debian/"));
        }
        let _ = base.redirected(&relative);
    }
}
