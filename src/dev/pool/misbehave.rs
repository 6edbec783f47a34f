//! The bodies of the nastier faults. All of them are made as they are sent: none is held in memory.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{self, Body};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;

const CHUNK: usize = 16 * 1024;
const OPENING: &[u8] = br#"{"access_token":""#;

/// The genuine answer with half its body.
pub(super) async fn truncate(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let whole = body::to_bytes(body, 1024 * 1024).await.unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(whole.slice(..whole.len() / 2)))
}

/// The genuine answer with a body made from its own.
pub(super) async fn rewrite(answer: Response, edit: &(dyn Fn(String) -> String + Send + Sync)) -> Response {
    let (mut parts, body) = answer.into_parts();
    let whole = body::to_bytes(body, 1024 * 1024).await.unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(edit(String::from_utf8_lossy(&whole).into_owned())))
}

pub(super) fn html() -> Response {
    let page = "<!DOCTYPE html><html><head><title>ERROR: The request could not be satisfied</title></head>\
                <body><h1>The request could not be satisfied.</h1></body></html>";
    ([(header::CONTENT_TYPE, "text/html")], page).into_response()
}

pub(super) fn drip() -> Response {
    let bytes = stream::unfold(0_usize, |sent| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let byte = OPENING.get(sent).copied().unwrap_or(b'a');
        Some((Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte])), sent.saturating_add(1)))
    });
    json(Body::from_stream(bytes))
}

pub(super) fn huge(bytes: usize) -> Response {
    json(Body::from_stream(stream::unfold((false, bytes), |(opened, left)| async move {
        if !opened {
            return Some((Ok::<_, Infallible>(Bytes::from_static(OPENING)), (true, left)));
        }
        let size = left.min(CHUNK);
        (size > 0).then(|| (Ok(Bytes::from(vec![b'a'; size])), (true, left - size)))
    })))
}

/// Gzip with one block of fixed Huffman codes: a JSON opening, then "repeat the last byte 258 times", 13 bits each.
pub(super) fn gzip_bomb() -> Response {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = BitWriter::default();
    bits.put_number(0b011, 3); // the last block, fixed codes
    for &byte in OPENING.iter().chain(b"a") {
        bits.put_code(u32::from(byte) + 0x30, 8);
    }
    // Eight repeats are 13 whole bytes, so the chunk below can be sent over and over after this alignment.
    let mut repeats = 0;
    while bits.used != 0 || repeats == 0 {
        bits.put_repeat();
        repeats += 1;
    }
    let opening: Vec<u8> = head.into_iter().chain(std::mem::take(&mut bits.bytes)).collect();
    for _ in 0..8 {
        bits.put_repeat();
    }
    let chunk = Bytes::from(bits.bytes.repeat(CHUNK / 13));
    let parts = stream::iter(
        std::iter::once(Bytes::from(opening)).chain(std::iter::repeat_n(chunk, 40)).map(Ok::<_, Infallible>),
    );
    let mut answer = json(Body::from_stream(parts));
    answer.headers_mut().insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    answer
}

fn json(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json;charset=UTF-8")], body).into_response()
}

/// DEFLATE's bit order (RFC 1951 3.1.1): least significant bit first, Huffman codes from their top bit.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u8,
}

impl BitWriter {
    fn put_bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    fn put_number(&mut self, number: u32, bits: u32) {
        (0..bits).for_each(|at| self.put_bit(number >> at & 1 == 1));
    }

    fn put_code(&mut self, code: u32, bits: u32) {
        (0..bits).rev().for_each(|at| self.put_bit(code >> at & 1 == 1));
    }

    /// Length 258 (symbol 285), distance 1 (symbol 0).
    fn put_repeat(&mut self) {
        self.put_code(0b1100_0101, 8);
        self.put_code(0, 5);
    }
}
