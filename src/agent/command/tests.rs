//! Words of the command line.

use super::*;

fn parse(line: &str) -> Result<Words, AgentError> {
    Words::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn options_stand_anywhere() {
    let words = parse("--window 60 x --trial --level=live").unwrap();
    assert_eq!(words.plain, ["x"]);
    assert_eq!(words.number::<u32>("window").unwrap(), Some(60));
    assert!(words.has("trial") && !words.has("again"));
    assert_eq!(policy(&words, Allowed::default()).unwrap().at_least, Level::Live);
}

#[test]
fn wrong_words_are_named() {
    let check = |line: &str, expected: &str| {
        let error = parse(line).err().unwrap();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (expected, 2));
    };
    check("--odd", "`--odd` is not an option");
    check("--trial=1", "`--trial=1` is not an option");
    check("--nonce", "--nonce needs a value");
    let error = parse("--window x").unwrap().number::<u32>("window").unwrap_err();
    assert_eq!(error.to_string(), "--window=x is no number");
    let error = parse("a b").unwrap().system().unwrap_err();
    assert_eq!(error.to_string(), "`b` is one word too many");
    assert!(policy(&parse("--level deep").unwrap(), Allowed::default()).is_err());
    assert!(parse("0").unwrap().generation().is_err());
}

#[test]
fn a_new_nonce_is_one() {
    let words = parse("x").unwrap();
    assert_ne!(nonce_or_new(&words).unwrap(), nonce_or_new(&words).unwrap());
}

#[test]
fn unknown_commands_are_refused() {
    let (mut input, mut output) = (std::io::empty(), Vec::new());
    let mut streams = Streams { input: &mut input, output: &mut output };
    let places = Places::below("/nowhere");
    let error = run(&places, &["dance".into()], &mut streams).unwrap_err();
    assert_eq!(error.to_string(), "`dance` is not a command");
    assert_eq!(run(&places, &[], &mut streams).unwrap_err().exit_code(), 2);
    assert_eq!(run(&places, &["help".into()], &mut streams).unwrap(), 0);
    assert!(String::from_utf8(output).unwrap().contains("activate TOPLEVEL"));
}
