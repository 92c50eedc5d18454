//! The cache under several users, interrupts, damage; credentials and proxies.

use super::files::fetch_in;
use super::*;

const PATH: &str = "pool/x.deb";

#[test]
fn two_fetchers_share_one_cache() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(2_000_000);
    let file = wanted("x", &bytes, vec![server.put(PATH, &bytes)]);
    // The first one is held up for a while; the second one must wait instead of asking too.
    server.script(PATH, &[Behaviour::StallAfter(1_000_000)]);
    let (file, path) = (&file, directory.path());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                let (recorder, interrupt) = (Recorder::default(), Interrupt::default());
                let fetcher = Fetcher::new(path, &recorder, &interrupt, options()).unwrap();
                fetcher.files(std::slice::from_ref(file)).unwrap();
            });
        }
    });
    expect!["files/sha256/a5/a5f7… 2000000"].assert_eq(&listing(path));
    assert_eq!(server.log().len(), 2);
}

#[test]
fn stopping_is_quick_and_keeps_the_part() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(300_000);
    let file = wanted("x", &bytes, vec![server.put(PATH, &bytes)]);
    server.script(PATH, &[Behaviour::StallAfter(100_000)]);
    let interrupt = Interrupt::default();
    let patient = FetchOptions { stall_timeout: Duration::from_secs(30), ..options() };
    let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, patient).unwrap();
    let start = std::time::Instant::now();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !listing(directory.path()).ends_with(" 100000") {
                std::thread::sleep(Duration::from_millis(5));
            }
            interrupt.set();
        });
        fetcher.files(std::slice::from_ref(&file)).unwrap_err()
    });
    assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    expect!["partial/d6afaab863e5… 100000"].assert_eq(&listing(directory.path()));
}

#[test]
fn offline_names_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::default();
    let offline = FetchOptions { offline: true, ..options() };
    let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, offline).unwrap();
    let error = fetcher.files(&[wanted("x", b"x", vec![]), wanted("y", b"y", vec![])]).unwrap_err();
    expect!["x is not in the cache, and the network must not be used (so are 1 other files)"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_damaged_cache_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let bytes = some_bytes(1000);
    let file = wanted("x", &bytes, vec![server.put(PATH, &bytes)]);
    let interrupt = Interrupt::default();
    let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, options()).unwrap();
    let files = std::slice::from_ref(&file);
    let path = fetcher.files(files).unwrap().remove(&file.sha256).unwrap();
    // Another length is noticed by itself, other bytes by `verify`.
    crate::exec::files::write_atomic(&path, b"short").unwrap();
    fetcher.files(files).unwrap();
    crate::exec::files::write_atomic(&path, &[0; 1000]).unwrap();
    assert!(!fetcher.verify(&file.sha256, file.size).unwrap());
    assert!(!path.exists());
    fetcher.files(files).unwrap();
    assert!(fetcher.verify(&file.sha256, file.size).unwrap());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let interrupt = Interrupt::default();
    let error = Fetcher::new(Path::new("/dev/null/x"), &Silent, &interrupt, options()).unwrap_err();
    expect!["the cache of fetched files cannot be used"].assert_eq(&error.to_string());
    let full = FileError {
        action: "write",
        path: "/x/partial/y".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    };
    let error = FetchError::of_cache(Path::new("/x"))(full);
    expect!["no space is left for fetched files in /x"].assert_eq(&error.to_string());
}

#[test]
fn credentials_are_sent_but_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start();
    let url: Url = format!("http://me:s%20cret@{}/x", server.url.authority()).parse().unwrap();
    let text = fetch_in(directory.path(), &server, &[wanted("x", b"x", vec![url])]);
    expect![[r#"
        error: cannot fetch x from http://server/x
        it is not there (status 404)
        GET /x Basic bWU6cyBjcmV0
    "#]]
    .assert_eq(&text);
}

#[test]
fn plain_http_goes_through_a_proxy_by_whole_address() {
    let directory = tempfile::tempdir().unwrap();
    let proxy = Server::start();
    let bytes = some_bytes(100_000);
    proxy.put("debian/x.deb", &bytes);
    let wanted_url = "http://mirror.invalid/debian/x.deb".parse().unwrap();
    let http = format!("http://me:pass@{}", proxy.url.authority()).parse().unwrap();
    let proxies = Proxies { http: Some(http), ..Proxies::default() };
    let interrupt = Interrupt::default();
    let options = FetchOptions { proxies, ..options() };
    let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, options).unwrap();
    fetcher.files(&[wanted("x", &bytes, vec![wanted_url])]).unwrap();
    expect!["http://mirror.invalid/debian/x.deb Basic bWU6cGFzcw=="]
        .assert_eq(&proxy.log().join("\n"));
}
