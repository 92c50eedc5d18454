//! Tests against a monitor that a thread plays.

use super::*;

const GREETING: &str = "{\"QMP\": {\"version\": {}}}\n";

/// Greets a monitor that answers each line it gets with the next of `answers`.
fn greet(greeting: &'static str, answers: &'static [&'static str]) -> Result<Monitor, Problem> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let mut writer = theirs.try_clone().unwrap();
        let _ = writer.write_all(greeting.as_bytes());
        let lines = BufReader::new(theirs).lines();
        for (_, answer) in lines.zip(answers) {
            let _ = writer.write_all(answer.as_bytes());
        }
    });
    Monitor::greet(ours)
}

#[test]
fn an_answer_is_found_among_events() {
    let mut monitor = greet(
        GREETING,
        &[
            "{\"return\": {}}\n",
            "{\"event\": \"RESET\"}\n{\"return\": {\"status\": \"running\"}}\n",
        ],
    )
    .unwrap();
    assert_eq!(monitor.run("query-status").unwrap()["status"], "running");
    let gone = monitor.run("quit").unwrap_err();
    assert_eq!(gone.to_string(), "cannot talk to QEMU's monitor");
}

#[test]
fn a_refusal_is_told_in_qemus_words() {
    let refusal = "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such command\"}}\n";
    let mut monitor =
        greet(GREETING, Box::leak(Box::new(["{\"return\": {}}\n", refusal]))).unwrap();
    let error = monitor.run("x").unwrap_err();
    assert_eq!(error.to_string(), "QEMU refused `x`: no such command");
}

#[test]
fn what_is_no_monitor_is_refused() {
    for greeting in ["SSH-2.0\n", "{}\n", "{\"QMP\": \n", "\u{fffd}\n"] {
        assert!(greet(greeting, &[]).is_err(), "{greeting}");
    }
}
