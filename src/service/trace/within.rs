//! Answers that are given within a span.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tracing::Span;

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

thread_local! {
    static IS_WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// The span of the request that is answered at present, if it is traced. Of one that is not, this
/// is asked with every answer: looking for the span itself takes ten times as long.
pub(super) fn span_of_request() -> Option<Span> {
    IS_WITHIN.get().then(Span::current)
}

/// An answer whose request is traced.
struct Within<T> {
    answering: Answering<T>,
    span: Span,
}

/// Gives an answer within the span of its request, if it has one.
pub(in crate::service) fn within<T: 'static>(
    span: Option<Span>,
    answering: Answering<T>,
) -> Answering<T> {
    match span {
        Some(span) => Box::pin(Within { answering, span }),
        None => answering,
    }
}

impl<T> Future for Within<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { answering, span } = &mut *self;
        let _entered = span.enter();
        let _mark = Mark::set();
        answering.as_mut().poll(context)
    }
}

struct Mark;

impl Mark {
    fn set() -> Self {
        IS_WITHIN.set(true);
        Self
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        IS_WITHIN.set(false);
    }
}
