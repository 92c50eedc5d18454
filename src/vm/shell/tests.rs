//! Tests against a shell that a thread plays: what comes from a machine is not to be trusted.

use super::*;
use crate::exec::interrupt::Interrupt;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

/// A shell in a machine that answers with what `answer` makes of a request's number and command.
fn shell(answer: impl Fn(&str, &str) -> String + Send + 'static) -> Shell {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let watch = Watch::default();
    let context = Context {
        machine: "m".to_owned(),
        log: "/log".into(),
        watch,
        interrupt: Interrupt::default(),
    };
    std::thread::spawn(move || {
        let mut writer = theirs.try_clone().unwrap();
        let _ = writer.write_all(b"\x00noise\nready b1\n");
        for line in BufReader::new(theirs).lines() {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let [boot, request, _, command] = words[..] else { panic!("{line}") };
            assert_eq!(boot, "b1");
            let command = String::from_utf8(base64::decode(command).unwrap()).unwrap();
            let _ = writer.write_all(answer(request, &command).as_bytes());
        }
    });
    let mut shell = Shell::new(ours, context).unwrap();
    assert_eq!(shell.wait_ready(20 * SECOND).unwrap(), "b1");
    shell
}

fn answer(request: &str, status: i32, stdout: &str, stderr: &str) -> String {
    let (stdout, stderr) = (base64::encode(stdout.as_bytes()), base64::encode(stderr.as_bytes()));
    format!("answer {request} {status} o{stdout} e{stderr}\n")
}

#[test]
fn a_command_gives_status_and_both_streams() {
    let mut shell = shell(|request, command| answer(request, 3, &format!("<{command}>\n"), "bad"));
    let output = shell.run("echo 'ä'\nfalse", SECOND).unwrap();
    assert_eq!((output.status, output.text().as_str()), (3, "<echo 'ä'\nfalse>"));
    assert_eq!(output.stderr, "bad");
}

#[test]
fn stale_answers_and_noise_are_passed_over() {
    let mut shell = shell(|request, _| {
        let noise = "answer 999 0 o e\n\u{7}[ 1.0] kernel says hello\nready b1\n";
        format!("{noise}{}", answer(request, 0, "right", ""))
    });
    assert_eq!(shell.succeed("x").unwrap(), "right");
    assert_eq!(shell.succeed("y").unwrap(), "right");
}

#[test]
fn an_unwanted_status_is_an_error_with_the_output() {
    let mut shell = shell(|request, command| {
        answer(request, i32::from(command == "no"), "out", "some\nreason\n")
    });
    let error = shell.succeed("no").unwrap_err();
    let expected = "`no` ended with status 1, 0 was wanted:\nout\nsome\nreason";
    assert_eq!(error.problem.to_string(), expected);
    assert_eq!(shell.fail("no").unwrap().status, 1);
    let error = shell.fail("yes").unwrap_err();
    assert!(error.problem.to_string().contains("a failure was wanted"));
}

#[test]
fn a_reboot_in_the_middle_is_noticed_and_the_next_boot_can_be_used() {
    let mut shell = shell(|_, _| "ready b2\n".to_owned());
    let error = shell.run("sleep 9", 9 * SECOND).unwrap_err();
    assert!(matches!(*error.problem, Problem::Rebooted { .. }), "{error:?}");
    assert_eq!(shell.wait_ready(9 * SECOND).unwrap(), "b2");
}

#[test]
fn an_answer_that_is_none_is_shown() {
    let mut shell = shell(|request, _| format!("answer {request} zero o e\n"));
    let error = shell.run("x", SECOND).unwrap_err();
    let expected = "the machine's answer to a command is not understood: answer 1 zero o e";
    assert_eq!(error.problem.to_string(), expected);
}

#[test]
fn a_unit_that_failed_is_not_waited_for() {
    let mut shell = shell(|request, command| match command {
        command if command.starts_with("systemctl show") => {
            answer(request, 0, "ActiveState=failed\n", "")
        }
        _ => answer(request, 3, "x.service: boom", ""),
    });
    let error = shell.wait_for_unit("x.service", 99 * SECOND).unwrap_err();
    assert_eq!(error.problem.to_string(), "unit x.service is failed:\nx.service: boom");
}

#[test]
fn a_unit_with_a_job_is_waited_for() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let mut shell = shell(move |request, command| {
        assert_eq!(command, "systemctl show --property=ActiveState,Job -- 'a b'");
        let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        answer(
            request,
            0,
            if first { "Job=42\nActiveState=inactive\n" } else { "ActiveState=active\n" },
            "",
        )
    });
    shell.wait_for_unit("a b", 99 * SECOND).unwrap();
}

#[test]
fn a_wish_to_stop_ends_a_wait() {
    let mut shell = shell(|_, _| String::new());
    shell.context.interrupt.set();
    let error = shell.run("sleep", 99 * SECOND).unwrap_err();
    assert!(matches!(*error.problem, Problem::Interrupted));
}

#[test]
fn without_a_boot_there_is_no_shell() {
    let mut shell = shell(|_, _| String::new());
    shell.boot = None;
    assert!(shell.run("x", SECOND).is_err());
}

#[test]
fn words_are_quoted_for_the_shell() {
    assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
}

#[test]
fn long_lines_are_dropped_and_few_are_kept() {
    let watch = Watch::default();
    let huge = vec![b'x'; 3 << 20];
    let many = "line\n".repeat(1000);
    let all = [&huge[..], b"\n\xff\xfe\n", many.as_bytes(), b"without an end"].concat();
    read_lines(&all[..], &watch);
    watch.look(|seen| {
        assert_eq!(seen.shell_lines.len(), LINES_MAX);
        assert_eq!(seen.shell_lines.back().unwrap(), "line");
    });
}

proptest! {
    #[test]
    fn nothing_a_machine_answers_can_panic(line: String, bytes: Vec<u8>) {
        let _ = parse_answer(&line);
        read_lines(&bytes[..], &Watch::default());
    }
}
