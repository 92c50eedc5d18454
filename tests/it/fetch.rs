//! Fetching from a real mirror: suites, indexes, packages; then again without network.

use nexus_host::debian::source::Source;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::{FetchOptions, Fetcher, Wanted, mirrors};
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::progress::Silent;

/// Fields `Filename`, `Size` and `SHA256` of a package's first stanza.
fn stanza(index: &str, package: &str) -> (String, u64, String) {
    let head = format!("Package: {package}\n");
    let stanza = index.split("\n\n").find(|stanza| stanza.starts_with(&head)).expect("it is there");
    let field = |name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.expect("every stanza has it").to_owned()
    };
    (field("Filename"), field("Size").parse().expect("a size is a number"), field("SHA256"))
}

#[test]
fn suites_indexes_and_packages_come_from_a_mirror_and_then_from_the_cache() {
    let environment = Environment::of_process().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::default();
    let mirrors = mirrors(&environment, None).unwrap();
    let sources = Source::debian("trixie", &["main"], &mirrors).unwrap();
    let mut texts = Vec::new();
    for offline in [false, true] {
        let options = FetchOptions { offline, ..FetchOptions::default() }
            .with_environment(&environment)
            .unwrap();
        let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, options).unwrap();
        let releases = fetcher.releases(&sources, environment.now_seconds).unwrap();
        let indexes = fetcher.indexes(&releases, "amd64").unwrap();
        assert_eq!(indexes.len(), 3);
        let main = std::str::from_utf8(&indexes[0].text).unwrap();
        let wanted = ["hello", "base-files", "libc6"].map(|package| {
            let (path, size, sha256) = stanza(main, package);
            let date = releases[0].release.date_seconds;
            Wanted {
                urls: sources[0].package_urls(&path, date, fetcher.snapshots()).unwrap(),
                sha256: sha256.parse().unwrap(),
                size,
                label: package.to_owned(),
            }
        });
        let paths = fetcher.files(&wanted).unwrap();
        for file in &wanted {
            assert!(paths.contains_key(&file.sha256));
            assert!(fetcher.verify(&file.sha256, file.size).unwrap());
        }
        texts.push(indexes);
    }
    assert_eq!(texts[0], texts[1]);
}
