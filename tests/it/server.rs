//! A small HTTP server on this machine, which can be told to fail.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What the server does when it is asked for a file that there is.
pub(crate) enum Answer {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Promises these, sends half of them, and then nothing more.
    Held(Vec<u8>),
    /// Promises these, sends half of them, and hangs up.
    BrokenOff(Vec<u8>),
}

/// Decides by the path that was asked for; `None` is not there.
type Decide = dyn Fn(&str) -> Option<Answer> + Send + Sync;

/// A server; it answers until the tests end.
pub(crate) struct Server {
    pub(crate) port: u16,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(decide: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let decide: Arc<Decide> = Arc::new(decide);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let decide = Arc::clone(&decide);
                // A client that goes away early is none of our business.
                std::thread::spawn(move || _ = serve(connection, &*decide));
            }
        });
        Self { port }
    }
}

fn serve(mut connection: TcpStream, decide: &Decide) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let Some(answer) = decide(&path) else {
        return connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let (bytes, part) = match answer {
        Answer::Bytes(bytes) => (bytes, None),
        Answer::Held(bytes) => (bytes, Some(true)),
        Answer::BrokenOff(bytes) => (bytes, Some(false)),
    };
    let length = bytes.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(if part.is_some() { &bytes[..length / 2] } else { &bytes })?;
    if part == Some(true) {
        // Until the client has had enough.
        reader.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}
