//! Tests of the answer's parser.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

#[track_caller]
fn check(bytes: &[u8], ended: bool, expected: &Expect) {
    let words = match parse(bytes, ended) {
        Ok(Some(answer)) => {
            format!(
                "{} {:?} {:?}",
                answer.status,
                answer.headers,
                answer.body.escape_ascii().to_string()
            )
        }
        Ok(None) => "more".to_owned(),
        Err(reason) => reason.to_owned(),
    };
    expected.assert_eq(&words);
}

#[test]
fn a_body_ends_where_its_length_says() {
    check(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloXX",
        false,
        &expect![[r#"200 {"content-length": "5"} "hello""#]],
    );
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false, &expect!["more"]);
    check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", true, &expect!["more"]);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    check(b"HTTP/1.0 404 Not Found\r\nServer: Caddy\r\n\r\nno", false, &expect!["more"]);
    check(
        b"HTTP/1.0 404 Not Found\r\nServer: Caddy\r\n\r\nno",
        true,
        &expect![[r#"404 {"server": "Caddy"} "no""#]],
    );
    check(b"HTTP/1.1 204 No Content\r\n\r\n", false, &expect![[r#"204 {} """#]]);
}

#[test]
fn chunks_are_put_together() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let of = |rest: &[u8]| [&head[..], rest].concat();
    check(
        &of(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"),
        false,
        &expect![[r#"200 {"transfer-encoding": "chunked"} "hello world""#]],
    );
    check(&of(b"5\r\nhel"), true, &expect!["more"]);
    check(&of(b"xyz\r\n"), false, &expect!["a chunk has no length"]);
    check(&of(b"ffffffffffffffff\r\nx"), false, &expect!["more"]);
}

#[test]
fn what_is_no_answer_is_told_so_at_once() {
    check(b"SSH-2.0-OpenSSH_10.0\r\n", false, &expect!["it does not begin with HTTP/"]);
    check(b"HTT", false, &expect!["more"]);
    check(b"", false, &expect!["more"]);
    check(b"HTTP/1.1 2000 OK\r\n\r\n", false, &expect!["it has no status code"]);
    check(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", false, &expect!["a header line has no colon"]);
    check(
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        false,
        &expect!["its length is not a number"],
    );
    check(b"HTTP/1.1 200 OK\r\n\xff: x\r\n\r\n", false, &expect!["its header is not text"]);
    check(
        &[&b"HTTP/1.1 200 OK\r\n"[..], &vec![b'x'; HEAD_BYTES_MAX]].concat(),
        false,
        &expect!["its header does not end"],
    );
}

#[test]
fn a_host_name_cannot_add_a_header() {
    assert_eq!(one_word("a.org\r\nCookie: x"), "a.orgCookie:x");
}

proptest! {
    #[test]
    fn no_answer_can_panic_the_parser(bytes: Vec<u8>, tail: String, ended: bool) {
        let _ = parse(&bytes, ended);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = parse(&[&head[..], tail.as_bytes()].concat(), ended);
    }
}
