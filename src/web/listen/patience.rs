//! How much of a connection's responses the client has read, and the deadlines for reading the rest.

use super::STALL_TIMEOUT;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Shared by the stream of a connection and by its answers.
#[derive(Debug, Default)]
pub(super) struct ConnectionProgress {
    /// Whether the client takes nothing at the moment.
    blocked: AtomicBool,
    /// Counts how often everything that was written had been taken.
    flushes: AtomicU64,
    /// Those who wait for one of the two.
    waiting: Mutex<Vec<Waker>>,
    has_waiting: AtomicBool,
    /// When each answer over HTTP/2 that is not taken yet came on last.
    unread: Mutex<BTreeMap<u64, Instant>>,
    count: AtomicUsize,
    /// How many requests' heads have arrived.
    heads: AtomicU64,
    /// Requests without an answer yet.
    in_flight: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConnectionProgress {
    /// Ready while the client takes what is written.
    pub(super) fn poll_unblocked(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, || !self.blocked.load(Ordering::SeqCst))
    }

    /// How often all was taken.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Ready after another full flush, that is when [`Self::flushes`] is no longer `before`.
    pub(super) fn poll_flushed(&self, cx: &Context<'_>, before: u64) -> Poll<()> {
        self.poll_until(cx, || self.flushes() != before)
    }

    fn poll_until(&self, cx: &Context<'_>, is: impl Fn() -> bool) -> Poll<()> {
        if is() {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.waiting);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiting);
        self.has_waiting.store(true, Ordering::SeqCst);
        // It may have come meanwhile.
        if is() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake(&self) {
        if self.has_waiting.swap(false, Ordering::SeqCst) {
            for waker in std::mem::take(&mut *lock(&self.waiting)) {
                waker.wake();
            }
        }
    }

    /// A request's head has arrived.
    pub(super) fn request_began(&self) {
        self.heads.fetch_add(1, Ordering::SeqCst);
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// A request is answered, or given up.
    pub(super) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many requests' heads have arrived, and whether bytes that arrive now are of another head: while a request is
    /// at work they may be of its body.
    pub(super) fn heads(&self) -> (u64, bool) {
        (self.heads.load(Ordering::SeqCst), self.in_flight.load(Ordering::SeqCst) == 0)
    }

    /// The answer that came on longest ago.
    fn stalled_since(&self) -> Option<Instant> {
        match self.count.load(Ordering::SeqCst) {
            0 => None,
            _ => lock(&self.unread).values().min().copied(),
        }
    }
}

/// An answer over HTTP/2; taken when it is dropped.
#[derive(Debug)]
pub(super) struct UnreadResponse {
    connection: Arc<ConnectionProgress>,
    number: u64,
}

impl UnreadResponse {
    pub(super) fn new(connection: Arc<ConnectionProgress>) -> Self {
        let mut unread = lock(&connection.unread);
        let number = unread.last_key_value().map_or(0, |(last, _)| last + 1);
        unread.insert(number, Instant::now());
        drop(unread);
        connection.count.fetch_add(1, Ordering::SeqCst);
        Self { connection, number }
    }

    /// The client has read a part of the response: restarts its deadline.
    pub(super) fn note_progress(&self) {
        if let Some(last) = lock(&self.connection.unread).get_mut(&self.number) {
            *last = Instant::now();
        }
    }
}

impl Drop for UnreadResponse {
    fn drop(&mut self) {
        lock(&self.connection.unread).remove(&self.number);
        self.connection.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The deadlines of a stream.
#[derive(Debug)]
pub(super) struct WriteDeadlines {
    pub(super) connection: Arc<ConnectionProgress>,
    /// Until something is taken of what is written now.
    write: Option<Pin<Box<Sleep>>>,
    /// Until the answers are looked at.
    look: Option<Pin<Box<Sleep>>>,
}

impl WriteDeadlines {
    pub(super) fn new(connection: Arc<ConnectionProgress>) -> Self {
        Self { connection, write: None, look: None }
    }

    /// Notes that something was taken, or that nothing was; ready if that is borne no longer.
    pub(super) fn wrote(&mut self, took: bool, cx: &mut Context<'_>) -> Poll<()> {
        if took {
            if self.write.take().is_some() {
                self.connection.blocked.store(false, Ordering::SeqCst);
                self.connection.wake();
            }
            return Poll::Pending;
        }
        self.connection.blocked.store(true, Ordering::SeqCst);
        let deadline = || Box::pin(sleep_until(Instant::now() + STALL_TIMEOUT));
        self.write.get_or_insert_with(deadline).as_mut().poll(cx)
    }

    /// Notes that all was taken.
    pub(super) fn flushed(&self) {
        self.connection.flushes.fetch_add(1, Ordering::SeqCst);
        self.connection.wake();
    }

    /// Ready if an answer has not come on for too long.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(since) = self.connection.stalled_since() {
            let deadline = since + STALL_TIMEOUT;
            let look = self.look.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            match look.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if Instant::now() >= deadline => return Poll::Ready(()),
                // The deadline was of a response that has been read since.
                Poll::Ready(()) => self.look = None,
            }
        }
        Poll::Pending
    }
}

/// A bound on work that is not over when its time has come.
pub(super) fn after(time: Duration) -> Pin<Box<Sleep>> {
    Box::pin(sleep_until(Instant::now() + time))
}
