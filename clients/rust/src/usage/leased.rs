//! Slices of a limit that are spent in this process.

mod slices;

use std::{
    fmt, mem,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, Notify},
    time::{sleep, timeout},
};
use tonic::{Code, Status};
use uuid::Uuid;

use self::slices::{Slice, Slices, Spent};
use super::{Acquire, Granted, Lease, MOST, Reserve, Settle, Unsettled, persist};
use crate::{Error, LimitReason, clock::Micros, core::Core, flight::OnEnd};

/// Where nothing was granted, nothing is asked for again for so long.
const NOTHING: Micros = 5_000_000;
/// Where the server did not answer.
const NO_ANSWER: Micros = 1_000_000;
/// How many slices one waits for that others may have spent by then.
const MOST_WAITS: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long settling is tried after the last handle was dropped.
const LAST_TRY: Duration = Duration::from_secs(5);

/// Takes of one tenant's limit from slices that this process holds: exact as
/// [`reserve`](crate::Entitlements::reserve), never beyond the limit, but mostly without asking.
///
/// The next slice is asked for in the background once half of one is spent, or half of its time is
/// over, and what was not spent is given back. Where little is left, or the limit is reached, the
/// server is asked each time.
///
/// Cheap to clone: make one for a tenant and a meter that are taken from often. When the last one is
/// dropped, what is left is given back in the background, if there is a runtime still;
/// [`close`](Self::close) waits for that.
#[derive(Clone, Debug)]
pub struct LeasedUsage(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Leasing>);

pub(crate) struct Leasing {
    core: Arc<Core>,
    runtime: Handle,
    tenant: Uuid,
    lease: Lease,
    holder: String,
    slices: Mutex<Slices>,
    /// Somebody has asked for a slice, with whatever result.
    renewed: Notify,
    settling: AsyncMutex<()>,
}

impl LeasedUsage {
    pub(crate) fn new(core: Arc<Core>, runtime: Handle, tenant: Uuid, lease: Lease) -> Self {
        Self(Arc::new(Owner(Arc::new(Leasing {
            core,
            runtime,
            tenant,
            lease,
            holder: holder(),
            slices: Mutex::default(),
            renewed: Notify::new(),
            settling: AsyncMutex::default(),
        }))))
    }

    /// Takes so much, 1 to 10^12: from the slice that is held, and else from the server. For `?` in a
    /// handler.
    ///
    /// Whoever is denied is found out when the next slice is asked for, at most half of the lease's
    /// time later; until then the slice that is held is spent.
    ///
    /// # Errors
    ///
    /// [`Error::NotReserved`] where there is not so much left, or the tenant or the module is denied:
    /// the refusal of [`reserve`](crate::Entitlements::reserve). [`Error::Unavailable`] in an outage,
    /// once the slice is spent or over, unless the meter's [`UsageOutage`](crate::UsageOutage) allows it;
    /// it may have been counted. [`Error::Refused`] as `reserve`.
    pub async fn take(&self, amount: i64) -> Result<(), Error> {
        if self.take_held(amount) {
            return Ok(());
        }
        // Boxed, so that the future of what is held stays small.
        Box::pin(self.0.0.take_slowly(amount)).await
    }

    /// Takes so much of the slice that is held; false: it does not hold so much, and nothing was taken.
    /// Never waits: for code that cannot.
    pub fn take_held(&self, amount: i64) -> bool {
        self.0.0.take_held(amount)
    }

    /// Gives back what is left, and says what was spent, for that long at most. What is taken from now
    /// on is reserved one by one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the server did not answer in time: by the lease's
    /// [`Unsettled`] rule it is decided what is counted. [`Error::Refused`] for a caller that may not
    /// count.
    pub async fn close(&self, within: Duration) -> Result<(), Error> {
        self.0.0.close(within).await
    }
}

impl Leasing {
    fn take_held(self: &Arc<Self>, amount: i64) -> bool {
        let now = self.core.clock.monotonic();
        let (taken, is_to_renew, is_to_settle) = {
            let mut slices = self.slices.lock();
            let taken = slices.take(amount, now);
            (taken, slices.begin_renewing(now), slices.begin_settling())
        };
        if taken {
            self.core.counters.usage.held.increment(1);
        }
        if is_to_renew {
            self.renew();
        }
        if is_to_settle {
            self.settle();
        }
        taken
    }

    async fn take_slowly(self: &Arc<Self>, amount: i64) -> Result<(), Error> {
        if !(1..=MOST).contains(&amount) {
            let message = "the amount must be 1 to 10^12";
            return Err(Error::Refused(Status::invalid_argument(message)));
        }
        // Where slices are too small for all who wait, nobody waits for ever.
        let waits = if amount <= self.lease.size { MOST_WAITS } else { 0 };
        for _ in 0..waits {
            let renewed = self.renewed.notified();
            tokio::pin!(renewed);
            // From now on no news is missed.
            renewed.as_mut().enable();
            if self.take_held(amount) {
                return Ok(());
            }
            if !self.slices.lock().tasks.is_renewing {
                break;
            }
            renewed.await;
        }
        // It may have come in between.
        if self.take_held(amount) {
            return Ok(());
        }
        let Lease { meter, module, .. } = &self.lease;
        let one = Reserve::new(meter.as_str(), Uuid::new_v4().to_string());
        let one = one.amount(amount).module(module.as_str());
        self.core.reserve(self.tenant, one).await?.demand().map(drop)
    }

    /// Asks for the next slice in the background.
    fn renew(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let ending = Arc::clone(self);
        // Also where the runtime is over and drops what it was given.
        let end = OnEnd(move || {
            ending.slices.lock().tasks.is_renewing = false;
            ending.renewed.notify_waiters();
        });
        self.runtime.spawn(async move {
            let _end = end;
            if let Some(spent) = this.acquire().await {
                let settled = this.settlement(spent, false);
                drop(this.core.settle(settled).await);
            }
        });
    }

    /// Asks for the next slice, under the name of the last one if that was not answered. Gives what is
    /// spent so far, where that is to be said.
    async fn acquire(self: &Arc<Self>) -> Option<Spent> {
        let id = *self.slices.lock().pending.get_or_insert_with(Uuid::new_v4);
        let (tenant, holder, lease) = (self.tenant, self.holder.clone(), self.lease.clone());
        // Its time counts from before the server can have granted it.
        let sent = self.core.clock.monotonic();
        let answer = self.core.acquire(Acquire { tenant, id, holder, lease }).await;
        let now = self.core.clock.monotonic();
        let mut slices = self.slices.lock();
        if !matches!(answer, Err(Error::Unavailable(_))) {
            slices.pending = None;
        }
        match answer {
            Ok(granted) if granted.amount > 0 => slices.put(Slice::new(id, granted, sent), now),
            Ok(Granted { reason, .. }) => {
                slices.ask_again_at = now + NOTHING;
                if matches!(reason, LimitReason::TenantDenied | LimitReason::ModuleDenied) {
                    slices.end();
                }
            }
            // It was granted, nobody heard of it, and it is over.
            Err(Error::Refused(status)) if status.code() == Code::AlreadyExists => {
                slices.over.push(Spent { id, amount: 0 });
            }
            Err(Error::Unavailable(_)) => slices.ask_again_at = now + NO_ANSWER,
            Err(_) => slices.ask_again_at = now + NOTHING,
        }
        let is_to_keep = slices.is_held() && !mem::replace(&mut slices.tasks.is_kept, true);
        let is_to_settle = slices.begin_settling();
        let is_to_be_said = self.lease.unsettled == Unsettled::Returned;
        let spent = slices.spent().filter(|_| is_to_be_said);
        drop(slices);
        if is_to_keep {
            self.runtime.spawn(keep(Arc::downgrade(self)));
        }
        if is_to_settle {
            self.settle();
        }
        spent
    }

    /// Says in the background what was spent of slices that are over.
    fn settle(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        self.runtime.spawn(async move {
            let mut pause = FIRST_PAUSE;
            while let Some(this) = this.upgrade() {
                if this.settle_all().await.is_ok() && this.slices.lock().end_settling() {
                    return;
                }
                drop(this);
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        });
    }

    /// The same at once.
    async fn settle_all(&self) -> Result<(), Error> {
        let _alone = self.settling.lock().await;
        loop {
            let Some(spent) = self.slices.lock().over.first().copied() else { return Ok(()) };
            match self.core.settle(self.settlement(spent, true)).await {
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => {
                    // One that was asked for and never granted is none.
                    tracing::debug!(lease = %spent.id, "a lease is not settled: {error}");
                }
                Ok(()) => {}
            }
            self.slices.lock().over.retain(|other| other.id != spent.id);
        }
    }

    fn settlement(&self, spent: Spent, is_final: bool) -> Settle {
        let (tenant, meter) = (self.tenant, self.lease.meter.clone());
        Settle { tenant, meter, id: spent.id, spent: spent.amount, is_final }
    }

    async fn close(self: &Arc<Self>, within: Duration) -> Result<(), Error> {
        self.slices.lock().close();
        let closing = async {
            // What is on its way may be granted still.
            loop {
                let renewed = self.renewed.notified();
                tokio::pin!(renewed);
                renewed.as_mut().enable();
                if !self.slices.lock().tasks.is_renewing {
                    break;
                }
                renewed.await;
            }
            self.slices.lock().give_up_pending();
            persist(|| self.settle_all()).await
        };
        let late = |_| Err(Status::deadline_exceeded("not all leases were settled").into());
        timeout(within, closing).await.unwrap_or_else(late)
    }
}

/// Ends slices when their time is over, also where nobody takes from them any more.
async fn keep(leasing: Weak<Leasing>) {
    loop {
        let span = {
            let Some(leasing) = leasing.upgrade() else { return };
            let now = leasing.core.clock.monotonic();
            let (span, is_to_settle) = {
                let mut slices = leasing.slices.lock();
                (slices.until_over(now), slices.begin_settling())
            };
            if is_to_settle {
                leasing.settle();
            }
            span
        };
        let Some(span) = span else { return };
        sleep(Duration::from_micros(span.unsigned_abs())).await;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let leasing = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            if let Err(error) = leasing.close(LAST_TRY).await {
                tracing::warn!(meter = %leasing.lease.meter, "a lease is not settled: {error}");
            }
        });
    }
}

impl fmt::Debug for Leasing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leasing")
            .field("tenant", &self.tenant)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Who holds the slices, for people: the program and its process.
fn holder() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name()?.to_str()).unwrap_or("program");
    let name: String = name.chars().filter(char::is_ascii_graphic).take(100).collect();
    format!("{name}-{}", std::process::id())
}

#[cfg(test)]
mod tests;
