//! Proxies as the environment names them.

use std::path::Path;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: BTreeMap<_, _> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Environment::new(variables, Path::new("/"), Path::new("/x"), 0)
}

#[track_caller]
fn check(variables: &[(&str, &str)], expected: &str) {
    let found = match Proxies::of_environment(&environment(variables)) {
        Ok(Proxies { http, https, direct }) => format!("{http:?} {https:?} {direct:?}"),
        Err(error) => format!("error: {error}: {}", error.source),
    };
    assert_eq!(found, expected);
}

#[test]
fn variables_name_proxies() {
    check(&[], "None None []");
    check(
        &[
            ("http_proxy", "http://me:pw@proxy:3128"),
            ("HTTPS_PROXY", "proxy:3129"),
            ("no_proxy", "a,.b, C"),
        ],
        "Some(Url(http://proxy:3128/)) Some(Url(http://proxy:3129/)) [\"a\", \".b\", \"c\"]",
    );
    check(
        &[("all_proxy", "https://proxy")],
        "Some(Url(https://proxy/)) Some(Url(https://proxy/)) []",
    );
    check(
        &[("http_proxy", "socks5://proxy")],
        "error: variable http_proxy does not name a proxy: `socks5://proxy` does not start with `https://`, `http://` or `file:///`",
    );
    check(
        &[("https_proxy", "file:///x")],
        "error: variable https_proxy does not name a proxy: `file:///x` does not start with `https://`, `http://` or `file:///`",
    );
}

#[test]
fn some_hosts_are_reached_directly() {
    let proxies = Proxies {
        direct: ["example.org", ".internal", "*.lan", "127.0.0.1", "host:8080"]
            .map(str::to_owned)
            .to_vec(),
        ..Proxies::default()
    };
    let is_direct = |host: &str| proxies.is_direct(&format!("http://{host}/x").parse().unwrap());
    for host in [
        "example.org",
        "a.example.org",
        "internal",
        "a.internal",
        "b.lan",
        "127.0.0.1:99",
        "host:8080",
    ] {
        assert!(is_direct(host), "{host}");
    }
    for host in ["example.com", "notexample.org", "10.0.0.1", "host:80", "example.org.evil"] {
        assert!(!is_direct(host), "{host}");
    }
    let all = Proxies { direct: vec!["*".to_owned()], ..Proxies::default() };
    assert!(all.is_direct(&"http://x/".parse().unwrap()));
}

#[test]
fn each_name_is_asked_for_once() {
    let names = Names::default();
    let ask = |text: &str| {
        let uri: Uri = text.parse().unwrap();
        let timeout = ureq::unversioned::transport::NextTimeout::default();
        names.resolve(&uri, &Config::default(), timeout).unwrap().first().copied()
    };
    assert_eq!(ask("http://127.0.0.1:8080/a"), "127.0.0.1:8080".parse().ok());
    assert_eq!(ask("http://127.0.0.1:8080/b"), ask("http://127.0.0.1:8080/c"));
    assert_eq!(ask("https://127.0.0.1/"), "127.0.0.1:443".parse().ok());
    assert_eq!(lock(&names.known).len(), 2);
    let proxied = Names::of_proxy("http://127.0.0.1:3128/".parse().ok());
    let uri: Uri = "http://mirror.invalid/".parse().unwrap();
    let timeout = ureq::unversioned::transport::NextTimeout::default();
    let found = proxied.resolve(&uri, &Config::default(), timeout).unwrap().first().copied();
    assert_eq!(found, "127.0.0.1:3128".parse().ok());
}
