//! Reads the type expressions of `module.toml`: `list<map<slug, integer<1..10>>>`.

use super::format::Format;
use super::schema::{Kind, Record};

/// Deepest nesting of a type.
const DEPTH_MAX: usize = 8;

/// Why a type expression is none, as a fragment.
pub(super) type KindError = String;

/// Reads `text`; a `record` in it has no options yet.
pub(super) fn parse_kind(text: &str) -> Result<Kind, KindError> {
    parse(text.trim(), 0)
}

fn parse(text: &str, depth: usize) -> Result<Kind, KindError> {
    if depth > DEPTH_MAX {
        return Err("nested too deep".to_owned());
    }
    let (name, argument) = match text.split_once('<') {
        None => (text, None),
        Some((name, rest)) => {
            let argument = rest.strip_suffix('>').ok_or("a `>` at the end is missing")?;
            (name, Some(argument.trim()))
        }
    };
    match (name, argument) {
        ("bool", None) => Ok(Kind::Bool),
        ("secret", None) => Ok(Kind::Secret),
        ("record", None) => Ok(Kind::Record(Record::default())),
        ("port", None) => Ok(Kind::Integer { min: 1, max: 65535 }),
        ("integer", None) => Ok(Kind::Integer { min: i64::MIN, max: i64::MAX }),
        ("integer", Some(range)) => integer(range),
        ("enum", Some(words)) => enumeration(words),
        ("list", Some(of)) => Ok(Kind::List(Box::new(parse(of, depth + 1)?))),
        ("map", Some(both)) => {
            let (key, of) = both.split_once(',').ok_or("expected `map<NAME, TYPE>`")?;
            let key = Format::by_name(key.trim()).ok_or("the name is not a text format")?;
            Ok(Kind::Map(key, Box::new(parse(of.trim(), depth + 1)?)))
        }
        (name, None) => Format::by_name(name).map(Kind::Text).ok_or_else(|| unknown(name)),
        (name, Some(_)) => Err(unknown(name)),
    }
}

fn integer(range: &str) -> Result<Kind, KindError> {
    let (min, max) = range.split_once("..").ok_or("expected `integer<MIN..MAX>`")?;
    match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if min <= max => Ok(Kind::Integer { min, max }),
        _ => Err("expected `integer<MIN..MAX>` with two numbers in order".to_owned()),
    }
}

fn enumeration(words: &str) -> Result<Kind, KindError> {
    let words: Vec<String> = words.split('|').map(|word| word.trim().to_owned()).collect();
    let good = |word: &String| Format::Word.check(word).is_ok();
    if words.iter().all(good) {
        Ok(Kind::Enum(words))
    } else {
        Err("expected `enum<word|word>`".to_owned())
    }
}

fn unknown(name: &str) -> KindError {
    const OTHERS: &[&str] = &["bool", "secret", "record", "port", "integer", "enum", "list", "map"];
    let formats = Format::ALL.iter().map(|format| format.info().name);
    let name = crate::diag::printable(name);
    match crate::diag::closest(&name, formats.chain(OTHERS.iter().copied())) {
        Some(near) => format!("`{name}` is not a type; did you mean `{near}`?"),
        None => format!("`{name}` is not a type"),
    }
}
