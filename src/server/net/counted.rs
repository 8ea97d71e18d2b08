//! Answers whose memory is counted from when they are made until they are sent.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use hyper::{
    body::{Body as _, Buf, Frame, Incoming, SizeHint},
    service::Service,
};
use tonic::{Status, body::Body};

use super::{
    answers::Answers,
    unread::{HeldMemory, Part, Room, Unread, Unsent, WaitsFor},
};
use crate::service::{Ending, Peer};

/// Answers a connection's requests, and counts the memory of the answers.
pub(crate) struct Counting<A>(Arc<Connection<A>>);

struct Connection<A> {
    front: Arc<A>,
    peer: Peer,
    ending: Ending,
    unread: Arc<Unread>,
}

impl<A> Counting<A> {
    /// `ending` resolves when the connection is to end.
    pub(crate) fn new(front: Arc<A>, peer: Peer, ending: Ending, unread: Arc<Unread>) -> Self {
        Self(Arc::new(Connection { front, peer, ending, unread }))
    }
}

impl<A: Answers> Service<Request<Incoming>> for Counting<A> {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = CountedAnswer<A>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        CountedAnswer {
            connection: Arc::clone(&self.0),
            room: None,
            step: AnswerState::Asked(Some(request)),
        }
    }
}

/// An answer in progress, whose content will be counted. While the connection holds too much, it is
/// not started: its timeout does not run, and it does not count as a request in flight.
pub(crate) struct CountedAnswer<A: Answers> {
    connection: Arc<Connection<A>>,
    room: Room,
    step: AnswerState<A::Answer>,
}

#[expect(clippy::large_enum_variant, reason = "it is moved but once, into the box of its exchange")]
enum AnswerState<A> {
    /// Taken once there is room.
    Asked(Option<Request<Incoming>>),
    Begun(A),
}

impl<A: Answers> Future for CountedAnswer<A> {
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Connection { front, peer, ending, unread } = &*this.connection;
        unread.note(WaitsFor::Answer);
        if let AnswerState::Asked(request) = &mut this.step {
            ready!(unread.poll_room(&mut this.room, context));
            if let Some(request) = request.take() {
                this.step = AnswerState::Begun(front.answer(request, peer, ending));
            }
        }
        let AnswerState::Begun(answer) = &mut this.step else { return Poll::Pending };
        let answer = ready!(Pin::new(answer).poll(context))?;
        unread.note(WaitsFor::Peer);
        Poll::Ready(Ok(answer.map(|body| CountedBody::begin(body, Arc::clone(unread), context))))
    }
}

/// The result of polling a body; `None`: it has ended.
type Polled = Option<Result<Frame<Part>, Status>>;

/// An answer's content.
pub(crate) struct CountedBody {
    body: Body,
    unread: Arc<Unread>,
    /// The next frame, if it has been made already.
    made: Option<Polled>,
    room: Room,
    /// The memory of the frame that was made last.
    last: Weak<HeldMemory>,
    sent: Room,
}

impl CountedBody {
    /// Content that is available at once is taken here: hyper asks for it only when the peer has
    /// room, and until then it would not be counted.
    fn begin(body: Body, unread: Arc<Unread>, context: &mut Context<'_>) -> Self {
        let mut begun =
            Self { body, unread, made: None, room: None, last: Weak::new(), sent: None };
        if let Poll::Ready(polled) = begun.poll_body(context) {
            begun.made = Some(polled);
        }
        begun
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Self { unread, last, .. } = self;
        let hold = |bytes| {
            let part = unread.hold(bytes);
            *last = part.answer();
            part
        };
        Poll::Ready(polled.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        if let Some(made) = self.made.take() {
            return Poll::Ready(made);
        }
        let Self { unread, room, .. } = self;
        // Further content of an answer waits like another answer.
        ready!(unread.poll_room(room, context));
        self.poll_body(context)
    }

    /// Delays the end until all content has been sent, if the connection holds much. At the end
    /// hyper lets go of a stream: whatever its window did not let through would stay in h2 for as
    /// long as the connection lasts.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let begins = self.sent.is_none();
        if begins && !self.unread.must_wait_for(&self.last) {
            return Poll::Ready(());
        }
        let (unread, last) = (&self.unread, &self.last);
        let sent = self.sent.get_or_insert_with(|| Box::pin(unread.is_sent(last.clone())));
        let polled = sent.as_mut().poll(context);
        // Progress of other streams does not concern this one.
        self.unread.note(if begins { WaitsFor::Peer } else { WaitsFor::Unchanged });
        polled
    }

    /// The number of bytes made so far.
    fn made(&self) -> u64 {
        match &self.made {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, |part| part.remaining() as u64),
            _ => 0,
        }
    }
}

impl hyper::body::Body for CountedBody {
    type Data = Part;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Polled> {
        self.unread.note(WaitsFor::Answer);
        let frame = match ready!(self.poll_next(context)) {
            Some(Ok(frame)) if frame.is_data() => frame,
            end => {
                if self.poll_sent(context).is_pending() {
                    self.made = Some(end);
                    return Poll::Pending;
                }
                return Poll::Ready(end);
            }
        };
        self.unread.note(WaitsFor::Peer);
        Poll::Ready(frame.into_data().ok().map(|whole| {
            let (mut first, rest) = whole.split();
            first.unsent = Some(Unsent::new(&self.unread));
            self.made = rest.map(|rest| Some(Ok(Frame::data(rest))));
            Ok(Frame::data(first))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.made.as_ref().map_or_else(|| self.body.is_end_stream(), Option::is_none)
    }

    fn size_hint(&self) -> SizeHint {
        let (made, rest) = (self.made(), self.body.size_hint());
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + made);
        }
        hint.set_lower(rest.lower() + made);
        hint
    }
}
