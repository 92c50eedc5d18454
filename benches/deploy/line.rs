//! A port of this machine that leads to another one: counts bytes, and delays them when it is to be far.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Pieces on their way in one direction, and the bytes of one: 4 MiB, as much as Linux sends unanswered at most
/// (`tcp_wmem` in `Documentation/networking/ip-sysctl.rst`).
const PIECES: usize = 64;
const PIECE_BYTES: usize = 64 << 10;

/// The port; it stays open as long as this process.
pub(crate) struct Line {
    pub(crate) local: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Line {
    /// A line to `to` with this round trip on top of what there is.
    pub(crate) fn new(to: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(to).unwrap();
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                }
                let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                pass(near, far, round_trip / 2, Arc::clone(&count));
                pass(far2, near2, round_trip / 2, Arc::default());
            }
        });
        Self { local, sent }
    }

    /// Bytes that went to the machine since the last question.
    pub(crate) fn take_sent(&self) -> u64 {
        self.sent.swap(0, Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration, count: Arc<AtomicU64>) {
    let (sender, pieces) = sync_channel::<(Instant, Vec<u8>)>(PIECES);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut piece) {
            count.fetch_add(bytes as u64, Ordering::SeqCst);
            if sender.send((Instant::now() + delay, piece[..bytes].to_owned())).is_err() {
                break;
            }
        }
        let _gone = from.shutdown(Shutdown::Read);
    });
    std::thread::spawn(move || {
        for (due, piece) in pieces {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _gone = to.shutdown(Shutdown::Write);
    });
}
