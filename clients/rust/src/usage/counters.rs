//! Counting without asking: sums are made in this process, and sent now and then.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{MOST, Message, Of, Sums, UsageEvent, UsageOutcome, persist, quiet::Quiet};
use crate::{Error, core::Core};

/// Events of one message.
const MOST_EVENTS: usize = 500;
/// Sums are sent no more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// How long what is left is tried to be sent after the last handle was dropped.
const LAST_TRY: Duration = Duration::from_secs(5);

/// Adds up what is used, and sends the sums now and then: for what is used so often that asking each
/// time would cost too much, and whose limit need not hold exactly. [`add`](Self::add) never waits.
///
/// What was sent and not answered is sent again as it was, and counted once. What has not been sent
/// when the process dies is lost: at most one interval's, or what an outage kept from being sent.
///
/// Cheap to clone. When the last one is dropped, the rest is sent in the background, if there is a
/// runtime still; [`close`](Self::close) waits for that.
#[derive(Clone, Debug)]
pub struct UsageCounters(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    counting: Arc<Counting>,
    runtime: Handle,
    sending: JoinHandle<()>,
}

struct Counting {
    core: Arc<Core>,
    sums: Sums,
    sender: Mutex<Sender>,
    is_closed: AtomicBool,
    dropped: AtomicU64,
    refused: AtomicU64,
    dropped_said: Quiet,
    refused_said: Quiet,
    failure_said: Quiet,
}

/// What the server knows this process by.
#[derive(Debug)]
struct Sender {
    producer: Uuid,
    /// The number of the last message that was answered.
    sequence: u64,
    /// The message after it, as it was sent.
    unsent: Vec<UsageEvent>,
}

impl Sender {
    fn new() -> Self {
        Self { producer: Uuid::new_v4(), sequence: 0, unsent: Vec::new() }
    }
}

impl UsageCounters {
    pub(crate) fn start(core: Arc<Core>, runtime: Handle, every: Duration) -> Self {
        let counting = Arc::new(Counting {
            core,
            sums: Sums::default(),
            sender: Mutex::new(Sender::new()),
            is_closed: false.into(),
            dropped: 0.into(),
            refused: 0.into(),
            dropped_said: Quiet::default(),
            refused_said: Quiet::default(),
            failure_said: Quiet::default(),
        });
        let sending = runtime.spawn(keep_sending(Arc::clone(&counting), every));
        Self(Arc::new(Owner { counting, runtime, sending }))
    }

    /// Adds so much, 1 to 10^12, of a monthly meter: now, for a module, or the tenant's own use where
    /// that is empty. It is counted whatever the limit, and whether or not the tenant may.
    ///
    /// What cannot be added is [`dropped`](Self::dropped): an amount beyond these bounds, what comes
    /// after [`close`](Self::close), and a new sum where 10 000 wait already.
    pub fn add(&self, tenant: Uuid, meter: &str, amount: i64, module: &str) {
        let counting = &self.0.counting;
        let is_good = (1..=MOST).contains(&amount) && !counting.is_closed.load(Ordering::Relaxed);
        let now = counting.core.clock.now();
        if !is_good || !counting.sums.add(Of { tenant, meter, module }, amount, now) {
            counting.drop_one(meter, amount);
        }
    }

    /// Sends what there is, without waiting for the interval's end.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] in an outage, and [`Error::Refused`] for a caller that may not count, or
    /// with UNIMPLEMENTED from a server that is older than usage over time. What was not sent stays,
    /// and is tried again.
    pub async fn flush(&self) -> Result<(), Error> {
        self.0.counting.send_all().await
    }

    /// Sends what there is, for that long at most. What is added from now on is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Self::flush); [`Error::Unavailable`] if the time was up. What was not sent is
    /// tried once more when this is dropped, and lost then.
    pub async fn close(&self, within: Duration) -> Result<(), Error> {
        self.0.counting.is_closed.store(true, Ordering::Relaxed);
        let sent = timeout(within, persist(|| self.flush())).await;
        sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("not all sums were sent").into()))
    }

    /// How often something was added and is not counted: there were too many sums, the amount was none,
    /// or it came after the end.
    pub fn dropped(&self) -> u64 {
        self.0.counting.dropped.load(Ordering::Relaxed)
    }

    /// How many sums the server did not count, as where there is no such tenant, meter or module. They are
    /// logged, once a minute with an example.
    pub fn refused(&self) -> u64 {
        self.0.counting.refused.load(Ordering::Relaxed)
    }
}

async fn keep_sending(counting: Arc<Counting>, every: Duration) {
    let mut ticks = interval(every.max(SHORTEST_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = counting.send_all().await
            && counting.failure_said.is_due()
        {
            tracing::warn!("what was used cannot be sent, and waits: {error}");
        }
    }
}

impl Counting {
    /// Sends what there is, one message after the other.
    async fn send_all(&self) -> Result<(), Error> {
        let mut sender = self.sender.lock().await;
        // What was sent before and not answered.
        let mut is_last = false;
        loop {
            if !sender.unsent.is_empty() {
                self.send(&mut sender).await?;
            }
            if is_last {
                return Ok(());
            }
            sender.unsent = self.sums.take(MOST_EVENTS);
            // While others add there is always something: one that is not full is the last.
            is_last = sender.unsent.len() < MOST_EVENTS;
        }
    }

    /// Sends the message that is due, or the same again.
    async fn send(&self, sender: &mut Sender) -> Result<(), Error> {
        let answer = match self.try_to_send(sender).await {
            Err(error) if error.word() == "USAGE_SEQUENCE_GAP" => {
                tracing::warn!(producer = %sender.producer, "the server misses sums that were sent before, and a new producer begins: {error}");
                (sender.producer, sender.sequence) = (Uuid::new_v4(), 0);
                self.try_to_send(sender).await
            }
            answer => answer,
        };
        match answer {
            Ok(outcomes) => {
                sender.sequence += 1;
                for (event, outcome) in sender.unsent.drain(..).zip(outcomes) {
                    self.note(&event, outcome);
                }
                Ok(())
            }
            // It would never be taken.
            Err(Error::Refused(status)) if status.code() == Code::InvalidArgument => {
                for event in sender.unsent.drain(..) {
                    self.note(&event, UsageOutcome::Invalid);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn try_to_send(&self, sender: &Sender) -> Result<Vec<UsageOutcome>, Error> {
        let producer = Some((sender.producer, sender.sequence + 1));
        self.core.record_message(Message { events: sender.unsent.clone(), producer }).await
    }

    fn note(&self, event: &UsageEvent, outcome: UsageOutcome) {
        if outcome.is_counted() {
            return;
        }
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        self.core.counters.usage_refused.increment(1);
        if self.refused_said.is_due() {
            let UsageEvent { tenant, meter, module, amount, .. } = event;
            tracing::warn!(%tenant, %meter, %module, amount, refused, "sums are not counted: {outcome}");
        }
    }

    #[cold]
    fn drop_one(&self, meter: &str, amount: i64) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        self.core.counters.usage_dropped.increment(1);
        if self.dropped_said.is_due() {
            tracing::warn!(%meter, amount, dropped, "what is used is dropped: the amount is none, it is over, or too many sums wait");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.sending.abort();
        let counting = Arc::clone(&self.counting);
        self.runtime.spawn(async move {
            match timeout(LAST_TRY, counting.send_all()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("what was used last is lost: {error}"),
                Err(_) => tracing::warn!("what was used last is lost: the server did not answer"),
            }
        });
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting").field("sums", &self.sums).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
