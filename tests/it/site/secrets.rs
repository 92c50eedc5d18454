//! Secrets of the machine that is deployed to: whatever is done to it, no value is said, kept or shown.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::Site;
use crate::bench::Bench;
use crate::secrets::leaks::{
    self, PlantedProcess, Values, expect_nowhere, only_planted, plain_values,
};
use crate::toolbox::tool;

/// What is added to vps1: a secret for each way of use.
pub(super) const SECRETS: &str = r#"
[secrets.values."app/token"]
generate = "hex:64"
units = ["hello.service"]
[secrets.values."app/password"]
generate = "alnum:32"
[secrets.values."app/login"]
generate = "bcrypt:app/password"
password_of = "admin"
[secrets.templates."app/url"]
text = "postgres://app:{secret:app/password|url}@localhost\n"
units = ["hello.service"]
"#;
const PERSON: &str = "person.txt";
/// The host's identity, in the workspace.
pub(crate) const HOST: &str = "host.txt";
/// Files of the machine that hold a value because they must, and its name.
const OWN: [(&str, &str); 2] = [
    ("/var/lib/nexus-host/identity.txt", "the identity of the host"),
    ("/etc/shadow", "app/login"),
];

/// What was said and seen while the machine was deployed to, and what must not be in it.
pub(super) struct Discretion {
    pub(super) values: Values,
    pub(super) said: String,
    pub(super) seen: BTreeSet<String>,
    _planted: PlantedProcess,
}

impl Discretion {
    pub(super) fn new(bench: &Bench) -> Self {
        make(bench);
        let planted = PlantedProcess::start();
        let (said, seen) = (String::new(), BTreeSet::new());
        Self { values: values(bench), said, seen, _planted: planted }
    }
}

/// The disk that brings the machine its identity: what QEMU reads of the qcow2 file that a provider would be given.
pub(super) fn disk(bench: &Bench) -> PathBuf {
    let (file, disk) = ("private.qcow2", bench.workspace.path().join("private.raw"));
    let identity = format!("--identity={HOST}");
    bench.workspace.run(&["build", "vps1", "--image", "qcow2", "--out", file, &identity]).expect(0);
    let convert =
        tool("qemu-img").sees(bench.workspace.path()).in_directory(bench.workspace.path());
    convert.args(["convert", "-f", "qcow2", "-O", "raw", file]).arg(&disk).run();
    disk
}

/// Makes the secrets of the bench's host, whose file is there, and somebody who keeps them.
pub(crate) fn make(bench: &Bench) {
    let (identity, _) = nexus_host::sops::generate_identity();
    bench.workspace.write(PERSON, identity.text().unwrap());
    let file = bench.workspace.path().join(PERSON);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    secrets(bench, &["add-host", "vps1", "--out", HOST]);
    secrets(bench, &["generate", "vps1"]);
}

/// What `secrets` says to who keeps them.
pub(crate) fn secrets(bench: &Bench, words: &[&str]) -> String {
    bench.workspace.run(&[&["secrets"], words, &["--identity", PERSON]].concat()).expect(0).stdout
}

fn values(bench: &Bench) -> Values {
    let place = |name: &str| bench.workspace.path().join(name);
    let document = place("secrets.sops/vps1.yaml");
    let mut values = plain_values(&document, &place(PERSON));
    let host = plain_values(&document, &place(HOST)).pop().unwrap();
    values.push(("the identity of the host".to_owned(), host.1));
    values
}

impl Site {
    /// All values become other ones, which the next deployment brings.
    pub(crate) fn secrets_are_renewed(&mut self) {
        secrets(&self.bench, &["rotate", "vps1"]);
        let discretion = self.discretion.as_mut().expect("it has secrets").get_mut();
        discretion.values.extend(values(&self.bench));
        discretion.values.sort();
        discretion.values.dedup();
        leaks::write_patterns(&mut self.host, &discretion.values);
    }

    pub(crate) fn nobody_has_said_a_secret(&mut self) {
        let discretion = self.discretion.as_mut().expect("it has secrets").get_mut();
        let on_host = leaks::seen_in_processes(&mut self.host, &discretion.values);
        assert_eq!((&discretion.seen, on_host), (&only_planted(), only_planted()));
        let what = (&self.bench.workspace, discretion.said.as_str());
        expect_nowhere(what, &mut self.host, &discretion.values, &OWN);
    }
}
