//! A port of this machine that leads to another one: counts bytes, delays them when it is to be far, and lets
//! through no more than a real line would.

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

/// What a line adds to the way that there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) round_trip: Duration,
    /// Most bytes a second, each way.
    pub(crate) rate: Option<u32>,
}

impl Link {
    /// Nothing: what the processors of both ends together can do.
    pub(crate) const BARE: Self = Self { round_trip: Duration::ZERO, rate: None };
    /// 1 Gbit/s, as rented machines and homes have it at best.
    pub(crate) const NEAR: Self = Self { rate: Some(125_000_000), ..Self::BARE };
    /// The same to another continent.
    pub(crate) const FAR: Self = Self { round_trip: Duration::from_millis(70), ..Self::NEAR };
}

/// The port; it stays open as long as this process.
pub(crate) struct Line {
    pub(crate) local: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Line {
    /// A line to `to` over such a link.
    pub(crate) fn new(to: SocketAddr, link: Link) -> Self {
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
                pass(near, far, link, Arc::clone(&count));
                pass(far2, near2, link, Arc::default());
            }
        });
        Self { local, sent }
    }

    /// Bytes that went to the machine since the last question.
    pub(crate) fn take_sent(&self) -> u64 {
        self.sent.swap(0, Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, link: Link, count: Arc<AtomicU64>) {
    let (sender, pieces) = sync_channel::<(Instant, Vec<u8>)>(PIECES);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE_BYTES];
        // When the last byte of the piece before has left.
        let mut left = Instant::now();
        while let Ok(bytes @ 1..) = from.read(&mut piece) {
            count.fetch_add(bytes as u64, Ordering::SeqCst);
            let takes =
                link.rate.map(|rate| Duration::from_secs_f64(bytes as f64 / f64::from(rate)));
            left = left.max(Instant::now()) + takes.unwrap_or_default();
            if sender.send((left + link.round_trip / 2, piece[..bytes].to_owned())).is_err() {
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
