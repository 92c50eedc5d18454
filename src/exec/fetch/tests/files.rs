//! Single files: each fault has its own sentence, and leaves nothing but a part that can be continued.

use super::*;

const PATH: &str = "pool/x.deb";

/// Fetches one file of 300 000 bytes from a server that behaves so; shows result, notes, requests
/// and what is in the cache.
#[track_caller]
fn check(behaviours: &[Behaviour], expected: &Expect) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(300_000);
    let url = server.put(PATH, &bytes);
    server.script(PATH, behaviours);
    let text = fetch_in(directory.path(), &server, &[wanted("x 1.0", &bytes, vec![url])]);
    expected.assert_eq(&text);
}

pub(super) fn fetch_in(directory: &Path, server: &Server, files: &[Wanted]) -> String {
    let (recorder, interrupt) = (Recorder::default(), Interrupt::default());
    let fetcher = Fetcher::new(directory, &recorder, &interrupt, options()).unwrap();
    let mut text = match fetcher.files(files) {
        Ok(paths) => {
            for file in files {
                let bytes = std::fs::read(&paths[&file.sha256]).unwrap();
                assert_eq!(Sha256Digest::of(&bytes), file.sha256);
                assert!(fetcher.verify(&file.sha256, file.size).unwrap());
            }
            format!("ok, {} bytes shown\n", recorder.advanced())
        }
        Err(error) => format!("error: {}", chain(&error, server)),
    };
    for note in recorder.notes() {
        writeln!(text, "note: {}", note.replace(server.url.authority(), "server")).unwrap();
    }
    for request in server.log() {
        writeln!(text, "GET {}", request.replace(server.url.authority(), "server")).unwrap();
    }
    text + &listing(directory)
}

#[test]
fn a_file_is_fetched_once() {
    check(
        &[],
        &expect![[r#"
        ok, 300000 bytes shown
        GET /pool/x.deb
        files/sha256/d6/d6af… 300000"#]],
    );
}

#[test]
fn a_broken_connection_is_continued() {
    check(
        &[Behaviour::DropAfter(100_000), Behaviour::DropAfter(100_000)],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the connection broke off; trying again in 0.0 s
        note: x 1.0: the connection broke off; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb bytes=100000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb bytes=200000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        files/sha256/d6/d6af… 300000"#]],
    );
}

#[test]
fn a_server_that_ignores_range_sends_all_again() {
    check(
        &[Behaviour::DropAfter(100_000), Behaviour::IgnoreRange],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the connection broke off; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb bytes=100000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        files/sha256/d6/d6af… 300000"#]],
    );
}

#[test]
fn a_wrong_part_begins_anew() {
    check(
        &[Behaviour::DropAfter(100_000), Behaviour::WrongPart],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the connection broke off; trying again in 0.0 s
        note: x 1.0: the server sent another part of the file than asked for; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb bytes=100000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb
        files/sha256/d6/d6af… 300000"#]],
    );
    check(
        &[Behaviour::DropAfter(100_000), Behaviour::Corrupt],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the connection broke off; trying again in 0.0 s
        note: x 1.0: the server sent another part of the file than asked for; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb bytes=100000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb
        files/sha256/d6/d6af… 300000"#]],
    );
}

#[test]
fn wrong_bytes_are_refused() {
    check(
        &[Behaviour::Corrupt],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        its bytes are wrong: expected SHA-256 d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51, found c33afb6f7ebc726258eb9efa53adf6630dabcb34f145082a12cb7ad23a4a10a5
        GET /pool/x.deb
    "#]],
    );
    check(
        &[Behaviour::Other(b"<html>".to_vec())],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        its length is wrong: expected 300000 bytes, found 6
        GET /pool/x.deb
    "#]],
    );
    check(
        &[Behaviour::Other(vec![0; 300_001])],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        its length is wrong: expected 300000 bytes, found 300001
        GET /pool/x.deb
    "#]],
    );
}

#[test]
fn an_absent_file_is_named() {
    check(
        &[Behaviour::Status(404, vec![])],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        it is not there (status 404)
        GET /pool/x.deb
    "#]],
    );
    check(
        &[Behaviour::Status(403, vec![])],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        the server answered with status 403
        GET /pool/x.deb
    "#]],
    );
}

#[test]
fn a_busy_server_is_asked_again() {
    let busy = |seconds: &str| Behaviour::Status(503, vec![("Retry-After", seconds.to_owned())]);
    check(
        &[busy("0"), Behaviour::Status(500, vec![])],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the server answered with status 503; trying again in 0.0 s
        note: x 1.0: the server answered with status 500; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        files/sha256/d6/d6af… 300000"#]],
    );
    check(
        &[busy("3600")],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        the server answered with status 503
        GET /pool/x.deb
    "#]],
    );
    let always = vec![Behaviour::Status(502, vec![]); 9];
    check(
        &always,
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        the server answered with status 502
        note: x 1.0: the server answered with status 502; trying again in 0.0 s
        note: x 1.0: the server answered with status 502; trying again in 0.0 s
        note: x 1.0: the server answered with status 502; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
    "#]],
    );
    let date = "Sat, 12 Sep 2026 07:55:41 GMT".to_owned();
    let headers = vec![("Retry-After", date.clone()), ("Date", date)];
    check(
        &[Behaviour::Status(429, headers)],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the server answered with status 429; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb
        files/sha256/d6/d6af… 300000"#]],
    );
}

#[test]
fn silence_ends_a_try() {
    check(
        &[Behaviour::StallAfter(100_000)],
        &expect![[r#"
        ok, 300000 bytes shown
        note: x 1.0: the server sent nothing for 1 s; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb bytes=100000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        files/sha256/d6/d6af… 300000"#]],
    );
}

#[test]
fn redirects_are_followed_but_not_in_circles() {
    check(
        &[Behaviour::Redirect("/pool/x.deb?signed=1".to_owned())],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        it is not there (status 404)
        GET /pool/x.deb
        GET /pool/x.deb?signed=1
    "#]],
    );
    check(
        &[Behaviour::Redirect("/pool/./x.deb".to_owned()); 1],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        it is not there (status 404)
        GET /pool/x.deb
        GET /pool/./x.deb
    "#]],
    );
    check(
        &vec![Behaviour::Redirect(format!("/{PATH}")); 20],
        &expect![[r#"
        error: cannot fetch x 1.0 from http://server/pool/x.deb
        the server redirects more than 8 times
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
        GET /pool/x.deb
    "#]],
    );
    check(
        &[Behaviour::Redirect("file:///etc/passwd".to_owned())],
        &expect![[r#"
            error: cannot fetch x 1.0 from http://server/pool/x.deb
            the server redirects wrongly: `file:///etc/passwd` must not follow on http
            GET /pool/x.deb
        "#]],
    );
}

#[test]
fn the_next_address_helps() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(1000);
    let snapshot = server.put("archive/debian/20260912T075541Z/pool/x.deb", &bytes);
    server.script("debian/pool/x.deb", &[Behaviour::Status(410, vec![])]);
    let mirror = server.url.join("debian/pool/x.deb").unwrap();
    let file = wanted("x 1.0", &bytes, vec![mirror.clone(), snapshot]);
    expect![[r#"
        ok, 1000 bytes shown
        note: x 1.0: http://server/debian/pool/x.deb: it is not there (status 410); trying the next address
        GET /debian/pool/x.deb
        GET /archive/debian/20260912T075541Z/pool/x.deb
        files/sha256/e7/e782… 1000"#]].assert_eq(&fetch_in(directory.path(), &server, &[file]));
    let lost = wanted("y 1.0", b"y", vec![mirror, server.url.join("nowhere").unwrap()]);
    expect![[r#"
        error: cannot fetch y 1.0 from http://server/debian/pool/x.deb; nor from http://server/nowhere (it is not there (status 404))
        it is not there (status 404)
        note: y 1.0: http://server/debian/pool/x.deb: it is not there (status 404); trying the next address
        GET /debian/pool/x.deb
        GET /archive/debian/20260912T075541Z/pool/x.deb
        GET /debian/pool/x.deb
        GET /nowhere
        files/sha256/e7/e782… 1000"#]].assert_eq(&fetch_in(directory.path(), &server, &[lost]));
}

#[test]
fn hosts_that_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let file = |label: &str, host: &str| {
        wanted(label, label.as_bytes(), vec![format!("http://{host}/x").parse().unwrap()])
    };
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = fetch_in(directory.path(), &server, &[file("x", &closed.to_string())]);
    expect![[r#"
        error: cannot fetch x from http://closed/x
        127.0.0.1 refuses the connection
    "#]]
    .assert_eq(&text.replace(&closed.to_string(), "closed"));
    let text = fetch_in(directory.path(), &server, &[file("x", "mirror.invalid")]);
    expect![[r#"
        error: cannot fetch x from http://mirror.invalid/x
        no address is known for mirror.invalid: no network, or no such name
        note: x: no address is known for mirror.invalid: no network, or no such name; trying again in 0.0 s
    "#]].assert_eq(&text);
}

#[test]
fn a_part_of_an_earlier_run_is_continued() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(300_000);
    let file = wanted("x", &bytes, vec![server.put(PATH, &bytes)]);
    server.script(PATH, &vec![Behaviour::DropAfter(10_000); 9]);
    expect![[r#"
        error: cannot fetch x from http://server/pool/x.deb
        the connection broke off
        note: x: the connection broke off; trying again in 0.0 s
        note: x: the connection broke off; trying again in 0.0 s
        note: x: the connection broke off; trying again in 0.0 s
        GET /pool/x.deb
        GET /pool/x.deb bytes=10000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb bytes=20000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb bytes=30000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        partial/d6afaab863e5… 40000"#]].assert_eq(&fetch_in(directory.path(), &server, std::slice::from_ref(&file)));
    server.script(PATH, &[]);
    expect![[r#"
        ok, 300000 bytes shown
        GET /pool/x.deb
        GET /pool/x.deb bytes=10000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb bytes=20000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb bytes=30000- "d6afaab863e50a901d2ea8578eb52348ea53e08b949e2eb8a556408d4172ca51"
        GET /pool/x.deb bytes=40000-
        files/sha256/d6/d6af… 300000"#]].assert_eq(&fetch_in(directory.path(), &server, &[file]));
}

#[test]
fn a_part_with_wrong_bytes_does_no_harm() {
    for length in [10, 300_000, 300_001] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start();
        let bytes = some_bytes(300_000);
        let file = wanted("x", &bytes, vec![server.put(PATH, &bytes)]);
        let partial = directory.path().join("partial");
        std::fs::create_dir(&partial).unwrap();
        let garbage = vec![b'!'; length];
        crate::exec::files::write_atomic(&partial.join(file.sha256.to_string()), &garbage).unwrap();
        let text = fetch_in(directory.path(), &server, &[file]);
        assert!(text.starts_with("ok"), "{text}");
    }
}

#[test]
fn local_files_work() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(300_000);
    let path = directory.path().join("a+b.deb");
    crate::exec::files::write_atomic(&path, &bytes).unwrap();
    let base: Url = format!("file://{}", directory.path().display()).parse().unwrap();
    let file = wanted("x", &bytes, vec![base.join("a+b.deb").unwrap()]);
    let cache = directory.path().join("cache");
    assert!(fetch_in(&cache, &server, &[file]).starts_with("ok"));
    let absent = wanted("y", b"y", vec![base.join("absent").unwrap()]);
    let text = fetch_in(&cache, &server, &[absent]);
    assert!(text.contains("it is not there"), "{text}");
    let folder = wanted("z", b"z", vec![base.join("cache").unwrap()]);
    let text = fetch_in(&cache, &server, &[folder]);
    assert!(text.contains("it is not a regular file"), "{text}");
}

#[test]
fn many_files_come_in_parallel_and_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let file = |number: usize| {
        let bytes = some_bytes(1000 + number);
        let url = server.put(&format!("pool/{number}.deb"), &bytes);
        wanted(&format!("{number}"), &bytes, vec![url])
    };
    let mut files: Vec<Wanted> = (0..100).map(file).collect();
    files.push(files[7].clone());
    let (recorder, interrupt) = (Recorder::default(), Interrupt::default());
    let fetcher = Fetcher::new(directory.path(), &recorder, &interrupt, options()).unwrap();
    assert_eq!(fetcher.files(&files).unwrap().len(), 100);
    assert_eq!(fetcher.files(&files).unwrap().len(), 100);
    assert_eq!(server.log().len(), 100);
    assert_eq!(recorder.advanced(), (0..100).map(|number| 1000 + number).sum::<u64>());
}

#[test]
fn the_first_failure_in_order_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let absent = |label: &str, length: usize| {
        wanted(label, &some_bytes(length), vec![server.url.join(label).unwrap()])
    };
    let interrupt = Interrupt::default();
    let one_at_a_time = FetchOptions { parallel: 1, ..options() };
    let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, one_at_a_time).unwrap();
    let error = fetcher.files(&[absent("small", 1), absent("large", 9)]).unwrap_err();
    assert!(error.to_string().starts_with("cannot fetch large from"), "{error}");
}
