//! A client of a few lines: what it costs must not hide what the servers cost.

#![allow(dead_code, reason = "each benchmark uses a part")]

use anyhow::{Context, ensure};
use std::fmt::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection to a port of this machine, kept open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    host: String,
    read: Vec<u8>,
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Connection {
    pub async fn open(host: &str, port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: format!("{host}:{port}"), read: vec![] })
    }

    /// Asks for a path, or for the path of an address; with a form, by `POST`, as a page of the same site does.
    pub async fn ask(&mut self, url: &str, cookies: &Cookies, form: Option<&str>) -> anyhow::Result<Answer> {
        self.stream.write_all(request(&self.host, url, cookies, form).as_bytes()).await?;
        loop {
            if let Some((answer, length)) = Answer::parse(&self.read)? {
                self.read.drain(..length);
                return Ok(answer);
            }
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "{url}: the server closed the connection");
        }
    }
}

/// The text of a request.
pub fn request(host: &str, url: &str, cookies: &Cookies, form: Option<&str>) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let method = if form.is_some() { "POST" } else { "GET" };
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    if !cookies.0.is_empty() {
        let _ = write!(text, "Cookie: {}\r\n", cookies.header());
    }
    if let Some(form) = form {
        let _ = write!(text, "Sec-Fetch-Site: same-origin\r\nContent-Length: {}\r\n", form.len());
        text += "Content-Type: application/x-www-form-urlencoded\r\n";
    }
    text + "\r\n" + form.unwrap_or_default()
}

impl Answer {
    /// The answer at the start of `bytes` and its length, once it is whole.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Self, usize)>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        let head = String::from_utf8(bytes[..end].to_vec())?;
        let mut answer = Self { status: 0, head, body: String::new() };
        answer.status = answer.head.split(' ').nth(1).context("no status")?.parse()?;
        let length: usize = answer.headers("content-length").next().map_or(Ok(0), str::parse)?;
        let Some(body) = bytes.get(end..end + length) else { return Ok(None) };
        answer.body = String::from_utf8(body.to_vec())?;
        Ok(Some((answer, end + length)))
    }

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Where it redirects to.
    pub fn location(&self) -> anyhow::Result<String> {
        Ok(self.headers("location").next().with_context(|| format!("no redirect: {self:?}"))?.to_owned())
    }
}

/// The cookies of one browser at one site.
#[derive(Debug, Clone, Default)]
pub struct Cookies(Vec<(String, String)>);

impl Cookies {
    pub fn take(&mut self, answer: &Answer) {
        for line in answer.headers("set-cookie") {
            let (name, rest) = line.split_once('=').unwrap_or((line, ""));
            let value = rest.split(';').next().unwrap_or_default();
            self.0.retain(|(other, _)| other != name);
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}
