//! A small HTTP server inside the test that misbehaves on demand, and a progress that remembers.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::debian::url::Url;
use crate::exec::progress::{Progress, Task, Unit};

/// What the server does with one request for a path.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Serves the file; honours `Range`.
    Serve,
    /// Serves the file whole, whatever part is asked for.
    IgnoreRange,
    /// Announces all and closes the connection after so many bytes.
    DropAfter(usize),
    /// Announces the true rest but sends, from the start asked for, other bytes.
    Corrupt,
    /// Serves this in place of the file.
    Other(Vec<u8>),
    /// Sends so many bytes, then nothing.
    StallAfter(usize),
    /// Answers with a status line and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Sends to another address.
    Redirect(String),
    /// Says `206` and sends a part from another place.
    WrongPart,
}

/// The server; ends with the test's process.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    pub(crate) url: Url,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    script: BTreeMap<String, VecDeque<Behaviour>>,
    log: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || talk(connection, &shared));
            }
        });
        Self { state, url }
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> Url {
        self.state.lock().unwrap().files.insert(format!("/{path}"), bytes.to_vec());
        self.url.join(path).unwrap()
    }

    /// The next requests for `path` are answered so; later ones are served.
    pub(crate) fn script(&self, path: &str, behaviours: &[Behaviour]) {
        let queue = behaviours.iter().cloned().collect();
        self.state.lock().unwrap().script.insert(format!("/{path}"), queue);
    }

    /// The requests so far, `target range authorization`, each part only when given.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }
}

/// Answers the requests of one connection.
fn talk(mut connection: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let path = match target.strip_prefix("http://") {
            Some(rest) => rest[rest.find('/')?..].to_owned(),
            None => target.clone(),
        };
        let shown = ["range", "if-range", "authorization", "proxy-authorization"];
        let shown = shown.iter().filter_map(|name| headers.get(*name)).cloned();
        let entry: Vec<String> = std::iter::once(target).chain(shown).collect();
        let (behaviour, file) = {
            let mut state = state.lock().unwrap();
            state.log.push(entry.join(" "));
            let behaviour = state.script.get_mut(&path).and_then(VecDeque::pop_front);
            (behaviour.unwrap_or(Behaviour::Serve), state.files.get(&path).cloned())
        };
        let start = headers.get("range").and_then(|range| {
            range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
        });
        answer(&mut connection, &behaviour, file, start)?;
    }
}

fn answer(
    connection: &mut TcpStream,
    behaviour: &Behaviour,
    file: Option<Vec<u8>>,
    start: Option<usize>,
) -> Option<()> {
    let file = match (behaviour, file) {
        (Behaviour::Status(status, headers), _) => {
            return head(connection, *status, headers, 0);
        }
        (Behaviour::Redirect(target), _) => {
            return head(connection, 302, &[("Location", target.clone())], 0);
        }
        (Behaviour::Other(bytes), _) => bytes.clone(),
        (_, Some(file)) => file,
        (_, None) => return head(connection, 404, &[], 0),
    };
    let total = file.len();
    let start = start.filter(|_| !matches!(behaviour, Behaviour::IgnoreRange));
    if start.is_some_and(|start| start >= total) {
        return head(connection, 416, &[], 0);
    }
    let first = start.unwrap_or(0);
    let tag = ("ETag", format!("\"{}\"", crate::store::Sha256Digest::of(&file)));
    if matches!(behaviour, Behaviour::WrongPart) {
        let range = ("Content-Range", format!("bytes 1-{}/{total}", total - 1));
        head(connection, 206, &[range], total - 1)?;
        return connection.write_all(&file[1..]).ok();
    }
    match start {
        Some(start) => {
            let range = ("Content-Range", format!("bytes {start}-{}/{total}", total - 1));
            head(connection, 206, &[tag, range], total - start)?;
        }
        None => head(connection, 200, &[tag], total)?,
    }
    let rest = &file[first..];
    match behaviour {
        Behaviour::DropAfter(count) => {
            connection.write_all(&rest[..rest.len().min(*count)]).ok()?;
            None
        }
        Behaviour::StallAfter(count) => {
            connection.write_all(&rest[..rest.len().min(*count)]).ok()?;
            std::thread::sleep(Duration::from_secs(20));
            None
        }
        Behaviour::Corrupt => connection.write_all(&vec![b'?'; rest.len()]).ok(),
        _ => connection.write_all(rest).ok(),
    }
}

fn head(
    connection: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    length: usize,
) -> Option<()> {
    let mut text = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    connection.write_all(format!("{text}\r\n").as_bytes()).ok()
}

/// Remembers notes and counts bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recorder {
    notes: Arc<Mutex<Vec<String>>>,
    advanced: Arc<Mutex<u64>>,
}

impl Recorder {
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    pub(crate) fn advanced(&self) -> u64 {
        *self.advanced.lock().unwrap()
    }
}

impl Progress for Recorder {
    fn begin(&self, _: &str, _: Unit, _: Option<u64>) -> Box<dyn Task> {
        Box::new(self.clone())
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
}

impl Task for Recorder {
    fn advance(&self, amount: u64) {
        *self.advanced.lock().unwrap() += amount;
    }

    fn at(&self, _: &str) {}
}
