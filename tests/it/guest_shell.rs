//! The root shell of a test machine, run by the bash and the coreutils of Debian.

use nexus_host::exec::files::write_atomic;
use nexus_host::vm::base64;

use crate::toolbox::tool;

const SCRIPT: &str = include_str!("../../src/vm/shell.sh");

/// Status, standard output, standard error.
type Answer = (i32, String, String);

#[test]
fn the_script_does_what_its_head_says() {
    let directory = tempfile::tempdir().unwrap();
    let boot = directory.path().join("boot");
    write_atomic(&boot, b"the-boot\n").unwrap();
    let script = SCRIPT.replace("/proc/sys/kernel/random/boot_id", boot.to_str().unwrap());
    assert_ne!(script, SCRIPT);
    let request = |boot: &str, number: u32, seconds: u32, command: &str| {
        format!("{boot} {number} {seconds} {}\n", base64::encode(command.as_bytes()))
    };
    let requests = [
        request("the-boot", 1, 9, "echo out; echo err >&2; exit 5"),
        request("another-boot", 2, 9, "echo never"),
        request("the-boot", 3, 1, "sleep 30"),
        request("the-boot", 4, 9, "cat; sleep 30 & echo \"$HOME\"; false | true"),
        "the-boot 5 9 !!!\n".to_owned(),
    ];
    let bash = tool("bash").sees(directory.path()).args(["-c", &script]);
    let output = bash.input(requests.concat().as_bytes()).output();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("ready the-boot"));
    let answers: Vec<(&str, Answer)> = lines.map(answer).collect();
    let text =
        |status: i32, output: &str, errors: &str| (status, output.to_owned(), errors.to_owned());
    let expected = [
        ("1", text(5, "out\n", "err\n")),
        ("3", text(124, "", "")),
        ("4", text(1, "/root\n", "")),
        ("5", text(0, "", "")),
    ];
    assert_eq!(answers, expected);
}

/// The number of a request, and what came of it.
fn answer(line: &str) -> (&str, Answer) {
    let words: Vec<&str> = line.split(' ').collect();
    let ["answer", number, status, output, errors] = words[..] else { panic!("{line}") };
    let decode = |word: &str, mark: char| {
        let bytes = base64::decode(word.strip_prefix(mark).unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    (number, (status.parse().unwrap(), decode(output, 'o'), decode(errors, 'e')))
}
