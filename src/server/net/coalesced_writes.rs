//! A stream that makes h2 combine small answers into one write.
//!
//! What pays for it (`cargo bench --bench gateway`): external authorization reaches 0.70 of
//! `CheckModule`'s throughput instead of 0.41. See
//! `docs/decisions/0006-small-answers-in-one-write.md`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that reports vectored writes only after its first read or write.
///
/// h2 asks for that when a connection is made. With vectored writes, it copies payloads of up to
/// 256 bytes one after the other, and ends a write at each larger one: a system call for every
/// answer. Without, it copies up to 1024 (`CHAIN_THRESHOLD_WITHOUT_VECTORED_IO`), which is what
/// most answers take, and a copy costs far less than a call. It asks again at each write, and then
/// the true answer saves a call for each payload that is larger still. The bytes that it writes do
/// not depend on the answer.
pub(crate) struct CoalescedWrites<S> {
    stream: S,
    has_begun: bool,
}

impl<S> CoalescedWrites<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, has_begun: false }
    }
}

impl<S: Unpin> CoalescedWrites<S> {
    fn begun(self: Pin<&mut Self>) -> Pin<&mut S> {
        let this = self.get_mut();
        this.has_begun = true;
        Pin::new(&mut this.stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CoalescedWrites<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.begun().poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CoalescedWrites<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begun().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begun().poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.has_begun && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
