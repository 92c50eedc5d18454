//! The program on the host that changes it from within; everything is in `agent` of the library.

#[cfg(any(feature = "builder", feature = "agent"))]
#[expect(clippy::print_stderr, reason = "this is what the program says to people")]
fn main() -> std::process::ExitCode {
    use nexus_host::agent::command::{Streams, run};
    use nexus_host::agent::places::Places;
    use nexus_host::failure::{REPORT, causes, exit_on_bug, in_words};

    exit_on_bug("nexus-agent", |bug| eprintln!("{}", in_words(&bug.causes(), Some(REPORT))));

    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    if name == nexus_host::agent::takeover::kexec::LAST_PROGRAM {
        let verb = words.first().map_or("", String::as_str);
        eprintln!("error: {}", nexus_host::agent::takeover::kexec::last_program(verb));
        return 1.into();
    }
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let mut streams = Streams { input: &mut stdin.lock(), output: &mut stdout.lock() };
    match run(&Places::host(), &words, &mut streams) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("{}", in_words(&causes(&error), error.help()));
            error.exit_code().into()
        }
    }
}

/// Without its dependencies there is nothing to run; `build.rs` builds it with `agent`.
#[cfg(not(any(feature = "builder", feature = "agent")))]
fn main() {}
