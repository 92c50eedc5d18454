//! The bytes of messages on D-Bus.
//!
//! ```text
//! l type flags 1 | body bytes | serial | fields: array of (code, variant) | to 8 | body
//! ```
//!
//! Little-endian, every value at a multiple of its own size from the start of the message. Source: "Message
//! Protocol" of the D-Bus specification 0.43.

use std::io::{self, Read};

/// The object that is asked, and the interface of its methods.
pub(in super::super) type Target<'a> = (&'a str, &'a str);

/// The one for all units. Source: org.freedesktop.systemd1(5).
pub(super) const MANAGER: Target<'_> =
    ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
/// Most bytes of a message: the specification's own limit is twice as much.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;
/// Types of messages, and codes of their fields.
const METHOD_CALL: u8 = 1;
pub(super) const METHOD_RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;
const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_SIGNATURE: u8 = 8;
/// The alignment of structures and of pairs of a name and a variant.
const STRUCTURE: usize = 8;

/// Values of a message, one after the other.
#[derive(Debug, Default)]
pub(in super::super) struct Body(Vec<u8>);

/// The value of a unit's property.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Property<'a> {
    /// `b`
    Flag(bool),
    /// `i`
    Signed(i32),
    /// `t`, such as microseconds.
    Unsigned(u64),
    /// `s`
    Text(&'a str),
    /// `as`
    Texts(&'a [&'a str]),
    /// `a(sasb)`: one command; that it fails counts.
    Command(&'a [&'a str]),
    /// `a(st)`: one timer, from what on and after how many microseconds.
    Timer(&'a str, u64),
}

/// Properties by name.
pub(in super::super) type Properties<'a> = [(&'a str, Property<'a>)];

impl Body {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// A string, or the path of an object.
    pub(in super::super) fn string(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).expect("texts are short"));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).expect("signatures are short"));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    /// What `items` writes, as an array; its elements are aligned to `element`.
    fn array(&mut self, element: usize, items: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(element);
        let start = self.0.len();
        items(self);
        let length = u32::try_from(self.0.len() - start).expect("messages are short");
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// `as`
    pub(in super::super) fn strings(&mut self, texts: &[&str]) {
        self.array(4, |body| texts.iter().for_each(|text| body.string(text)));
    }

    /// `a(sv)`
    pub(in super::super) fn properties(&mut self, properties: &Properties<'_>) {
        self.array(STRUCTURE, |body| {
            for (name, property) in properties {
                body.align(STRUCTURE);
                body.string(name);
                body.signature(property.signature());
                body.property(property);
            }
        });
    }

    /// `a(sa(sv))`: units and their properties.
    pub(in super::super) fn units(&mut self, units: &[(&str, &Properties<'_>)]) {
        self.array(STRUCTURE, |body| {
            for (name, properties) in units {
                body.align(STRUCTURE);
                body.string(name);
                body.properties(properties);
            }
        });
    }

    fn property(&mut self, property: &Property<'_>) {
        match *property {
            Property::Flag(flag) => self.u32(flag.into()),
            Property::Signed(number) => self.u32(number.cast_unsigned()),
            Property::Unsigned(number) => self.u64(number),
            Property::Text(text) => self.string(text),
            Property::Texts(texts) => self.strings(texts),
            Property::Command(words) => self.array(STRUCTURE, |body| {
                body.string(words.first().copied().unwrap_or_default());
                body.strings(words);
                body.u32(0);
            }),
            Property::Timer(base, microseconds) => self.array(STRUCTURE, |body| {
                body.string(base);
                body.u64(microseconds);
            }),
        }
    }

    /// The message `serial`: it asks for `method` with these values, whose types are `signature`.
    pub(super) fn into_call(
        self,
        serial: u32,
        (object, interface): Target<'_>,
        (method, signature): (&str, &str),
    ) -> Vec<u8> {
        let mut message = Self(vec![b'l', METHOD_CALL, 0, 1]);
        message.u32(u32::try_from(self.0.len()).expect("messages are short"));
        message.u32(serial);
        message.array(STRUCTURE, |fields| {
            let all = [
                (FIELD_PATH, "o", object),
                (FIELD_INTERFACE, "s", interface),
                (FIELD_MEMBER, "s", method),
                (FIELD_SIGNATURE, "g", signature),
            ];
            for (code, kind, text) in all.into_iter().filter(|(.., text)| !text.is_empty()) {
                fields.align(STRUCTURE);
                fields.0.push(code);
                fields.signature(kind);
                if kind == "g" { fields.signature(text) } else { fields.string(text) }
            }
        });
        message.align(STRUCTURE);
        message.0.extend_from_slice(&self.0);
        message.0
    }
}

impl Property<'_> {
    fn signature(&self) -> &'static str {
        match self {
            Self::Flag(_) => "b",
            Self::Signed(_) => "i",
            Self::Unsigned(_) => "t",
            Self::Text(_) => "s",
            Self::Texts(_) => "as",
            Self::Command(_) => "a(sasb)",
            Self::Timer(..) => "a(st)",
        }
    }
}

/// Values of a message that came, read from the front.
#[derive(Debug)]
pub(in super::super) struct Values<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Values<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// `u`
    pub(in super::super) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("they are four")))
    }

    /// `s` or `o`
    pub(in super::super) fn string(&mut self) -> Option<&'a str> {
        let length = self.u32()?;
        self.text(usize::try_from(length).ok()?)
    }

    /// `g`; a variant, `v`, is that and then its value.
    pub(in super::super) fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// All structures of an array, each read by `read`.
    pub(in super::super) fn structures<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.align(STRUCTURE);
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let mut all = Vec::new();
        while self.at < end {
            self.align(STRUCTURE);
            all.push(read(self)?);
        }
        Some(all)
    }
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The number of the message that it answers.
    pub(super) replies_to: Option<u32>,
    /// What a signal is called.
    pub(super) member: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Reads the next one.
    ///
    /// # Errors
    ///
    /// Of kind `InvalidData` when it is none.
    pub(super) fn read(stream: &mut impl Read) -> io::Result<Self> {
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "it is no message");
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four"));
        let (body_bytes, field_bytes) = (number(4), number(12));
        if head[0] != b'l' || body_bytes.max(field_bytes) > MESSAGE_BYTES_MAX {
            return Err(odd());
        }
        let length = |bytes: u32| usize::try_from(bytes).expect("an address is at least so long");
        // Their array begins at 12 of the message; 4 is as far from a multiple of 8.
        let mut fields = [&[0; 4], &head[12..]].concat();
        fields.resize(STRUCTURE + length(field_bytes).next_multiple_of(STRUCTURE), 0);
        stream.read_exact(&mut fields[STRUCTURE..])?;
        let mut body = vec![0; length(body_bytes)];
        stream.read_exact(&mut body)?;
        let mut message = Self { kind: head[1], replies_to: None, member: None, body };
        message.note_fields(&fields).ok_or_else(odd)?;
        Ok(message)
    }

    fn note_fields(&mut self, fields: &[u8]) -> Option<()> {
        let mut values = Values { bytes: fields, at: 4 };
        values.structures(|field| {
            let code = field.byte()?;
            match field.signature()? {
                "u" => {
                    let number = field.u32()?;
                    if code == FIELD_REPLY_SERIAL {
                        self.replies_to = Some(number);
                    }
                }
                "s" | "o" => {
                    let text = field.string()?;
                    if code == FIELD_MEMBER {
                        self.member = Some(text.to_owned());
                    }
                }
                "g" => drop(field.signature()?),
                _ => return None,
            }
            Some(())
        })?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_bytes_of_the_specification() {
        let mut body = Body::default();
        body.strings(&["a.service"]);
        let call = body.into_call(1, MANAGER, ("ListUnitsByNames", "as"));
        let fields = [
            &b"\x01\x01o\0\x19\0\0\0/org/freedesktop/systemd1\0\0\0\0\0\0\0"[..],
            b"\x02\x01s\0\x20\0\0\0org.freedesktop.systemd1.Manager\0\0\0\0\0\0\0\0",
            b"\x03\x01s\0\x10\0\0\0ListUnitsByNames\0\0\0\0\0\0\0\0",
            b"\x08\x01g\0\x02as\0",
        ]
        .concat();
        let head = [b"l\x01\0\x01\x12\0\0\0\x01\0\0\0".as_slice(), &[128, 0, 0, 0]].concat();
        assert_eq!(fields.len(), 128);
        let body = b"\x0e\0\0\0\x09\0\0\0a.service\0";
        assert_eq!(call, [&head[..], &fields, body].concat());
    }

    #[test]
    fn what_is_written_is_read() {
        let mut body = Body::default();
        body.properties(&[
            ("A", Property::Text("x")),
            ("B", Property::Texts(&["y", "z"])),
            ("C", Property::Signed(-900)),
        ]);
        let values = Values::of(&body.0).structures(|property| {
            let name = property.string()?.to_owned();
            let value = match property.signature()? {
                "s" => property.string()?.to_owned(),
                "as" => {
                    let bytes = property.u32()?;
                    format!("{bytes}: {} {}", property.string()?, property.string()?)
                }
                "i" => property.u32()?.cast_signed().to_string(),
                _ => return None,
            };
            Some(format!("{name}={value}"))
        });
        assert_eq!(values.unwrap(), ["A=x", "B=14: y z", "C=-900"]);
    }

    #[test]
    fn a_message_is_read_with_its_fields() {
        let mut body = Body::default();
        body.string("done");
        let mut message = Body(vec![b'l', SIGNAL, 0, 1]);
        message.u32(u32::try_from(body.0.len()).unwrap());
        message.u32(7);
        message.array(STRUCTURE, |fields| {
            fields.0.push(FIELD_SIGNATURE);
            fields.signature("g");
            fields.signature("s");
            fields.align(STRUCTURE);
            fields.0.push(FIELD_MEMBER);
            fields.signature("s");
            fields.string("JobRemoved");
            fields.align(STRUCTURE);
            fields.0.push(FIELD_REPLY_SERIAL);
            fields.signature("u");
            fields.u32(5);
        });
        message.align(STRUCTURE);
        let bytes = [message.0, body.0].concat();
        let found = Message::read(&mut &bytes[..]).unwrap();
        assert_eq!((found.kind, found.replies_to), (SIGNAL, Some(5)));
        assert_eq!(found.member.as_deref(), Some("JobRemoved"));
        assert_eq!(Values::of(&found.body).string(), Some("done"));
        for cut in 0..bytes.len() {
            assert!(Message::read(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        let big = [b"B".as_slice(), &bytes[1..]].concat();
        assert!(Message::read(&mut &big[..]).is_err());
    }

    #[test]
    fn lengths_that_lead_out_of_a_message_are_no_values() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x05\0\0\0abc\0", b"\x01\0\0\0a!", b"\x01\0\0"] {
            assert_eq!(Values::of(bytes).string(), None, "{bytes:?}");
            assert_eq!(Values::of(bytes).structures(Values::byte), None, "{bytes:?}");
        }
    }
}
