//! Tests of probes, against this machine.

use std::net::TcpListener;

use super::*;
use crate::health::Vantage;

#[test]
fn a_page_is_asked_of_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            assert!(String::from_utf8_lossy(&request[..count]).contains("Host: example.org\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        }
    });
    let url = format!("http://example.org:{port}/x");
    assert_eq!(page(&url, 200, Some("hello")), Ok(()));
    assert_eq!(page(&url, 404, None), Err(format!("{url} answers 200, not 404")));
    assert_eq!(page(&url, 200, Some("bye")), Err(format!("{url} does not say `bye`")));
    assert!(page("https://x", 200, None).is_err());
}

fn tried(probe: Probe) -> Result<(), String> {
    let (name, vantage) = ("x".to_owned(), Vantage::Inside);
    try_once(&Check { name, probe, vantage, within_seconds: 0, in_test: true }).map(drop)
}

#[test]
fn names_are_asked_of_the_host() {
    let dns = |domain: &str, address: Option<&str>| {
        let address = address.map(|text| text.parse().unwrap());
        tried(Probe::Dns { domain: domain.to_owned(), address })
    };
    assert_eq!(dns("localhost", None), Ok(()));
    assert_eq!(dns("192.0.2.7", Some("192.0.2.7")), Ok(()));
    let told = dns("192.0.2.7", Some("192.0.2.8")).unwrap_err();
    assert_eq!(told, "192.0.2.7 is 192.0.2.7, not 192.0.2.8");
    assert_eq!(dns("no.invalid", None).unwrap_err(), "no.invalid has no address");
    assert!(dns("--help", None).is_err(), "a name is never an option");
}

#[test]
fn mounts_and_room_are_those_of_the_kernel() {
    assert_eq!(tried(Probe::Mount { path: "/proc".to_owned() }), Ok(()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let told = tried(Probe::Mount { path: path.clone() }).unwrap_err();
    assert_eq!(told, format!("nothing is mounted at {path}"));
    let room = |free_bytes, free_percent| {
        tried(Probe::Disk { path: path.clone(), free_bytes, free_percent })
    };
    assert_eq!(room(1, 0), Ok(()));
    assert!(room(u64::MAX, 0).unwrap_err().contains("bytes free, not 18446744073709551615"));
    assert!(room(0, 100).unwrap_err().contains("%, not 100 %"));
    let nowhere = Probe::Disk { path: "/nowhere".to_owned(), free_bytes: 1, free_percent: 0 };
    assert!(tried(nowhere).unwrap_err().starts_with("/nowhere: "));
}

#[test]
fn the_kernel_tells_its_clock() {
    // Whether anybody keeps this machine's clock is not ours to say.
    let clock = clock().unwrap();
    assert_eq!(tried(Probe::Clock { seconds: None }), clock.check(None));
    assert!(clock.error_microseconds >= 0);
}

#[test]
fn certificates_must_last() {
    assert_eq!(certificate_lasts(86_400 * 10, 0, 10), Ok(10));
    let told = certificate_lasts(86_400 * 10, 1, 10).unwrap_err();
    assert_eq!(told, "a certificate ends in 9 days");
    assert_eq!(certificate_lasts(5, 5, 1).unwrap_err(), "a certificate has ended");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.pem");
    crate::exec::files::write_scratch(&path, b"no certificate").unwrap();
    let path = path.to_str().unwrap().to_owned();
    let told = tried(Probe::Certificate { path: path.clone(), days: 1 }).unwrap_err();
    assert_eq!(told, format!("{path}: it holds no certificate"));
    let path = "/nowhere/x.pem".to_owned();
    assert!(tried(Probe::Certificate { path, days: 1 }).unwrap_err().contains("/nowhere/x.pem"));
}
