//! The compressions of a package's members.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{IGNORE_CHECK, MtStreamBuilder, Stream};

/// Compressed bytes asked of the input at once.
const BUFFER_BYTES: usize = 1 << 16;
/// From this compressed size on a second thread pays, when the stream has more than one block.
const THREADS_FROM_BYTES: u64 = 8 << 20;
/// Threads of one decompressor; packages are unpacked in parallel anyway.
const THREADS: u32 = 2;
/// Most memory for the sake of the second thread; blocks that need more are taken one by one.
const THREADS_MEMORY_BYTES: u64 = 128 << 20;

/// The stream inside a member.
pub(super) enum Decoder<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<GzDecoder<BufReader<R>>>),
    Xz(XzDecoder<BufReader<R>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Decoder<R> {
    /// The decoder for a member by the end of its name; `None` when there is none for it.
    pub(super) fn new(
        suffix: &str,
        size: u64,
        memory_bytes: u64,
        input: R,
    ) -> io::Result<Option<Self>> {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Ok(Some(match suffix {
            "" => Self::Plain(input),
            ".gz" => Self::Gzip(Box::new(GzDecoder::new(input))),
            ".xz" => Self::Xz(XzDecoder::new_stream(input, xz_stream(size, memory_bytes)?)),
            ".zst" => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(memory_bytes.max(1024).ilog2().min(27))?;
                Self::Zstd(decoder)
            }
            _ => return Ok(None),
        }))
    }

    /// Whether the member has more bytes than the stream; to be asked at the stream's end.
    pub(super) fn has_tail(self) -> io::Result<bool> {
        let mut input = match self {
            Self::Plain(input) => input,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        Ok(!input.fill_buf()?.is_empty())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

fn xz_stream(size: u64, memory_bytes: u64) -> io::Result<Stream> {
    let stream = if size < THREADS_FROM_BYTES {
        // The whole package is known by its SHA-256; the CRC-64 within took a tenth of the time.
        Stream::new_stream_decoder(memory_bytes, IGNORE_CHECK)
    } else {
        MtStreamBuilder::new()
            .threads(THREADS)
            .memlimit_threading(memory_bytes.min(THREADS_MEMORY_BYTES))
            .memlimit_stop(memory_bytes)
            .decoder()
    };
    stream.map_err(io::Error::from)
}
