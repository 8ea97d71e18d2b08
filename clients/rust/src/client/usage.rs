//! Usage.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tonic::Status;
use uuid::Uuid;

use super::Entitlements;
use crate::{
    Error, Reconciled, Reservation, ReservationGuard, Reserve, convert::timestamp, usage::is_key,
};

/// How long a guard holds what it reserves, if nothing is said.
const HOLD: Duration = Duration::from_secs(60);

impl Entitlements {
    /// Takes so much of this tenant's limit, if it is there: check and count are one step, exact
    /// however many ask. Answered once it is committed; a refusal is an answer.
    ///
    /// The same key again is answered as the first time. So where the server does not answer, and may
    /// have counted, the library asks again by itself, twice at most within its deadline.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] in an outage, and if another transaction holds the counter for long or
    /// too many wait: [`OnOutage`](crate::OnOutage) grants or denies nothing here. It may have been
    /// counted: ask again with the same key, or [`release`](Self::release) it. Where the meter's
    /// [`UsageOutage`](crate::UsageOutage) allows it, an outage is no error: it is granted and marked. [`Error::Refused`] with ALREADY_EXISTS if the key took another
    /// amount, with INVALID_ARGUMENT, with UNIMPLEMENTED from a server that is older than usage, and
    /// for a caller that may not count.
    pub async fn reserve(&self, tenant: Uuid, wanted: Reserve) -> Result<Reservation, Error> {
        self.core.reserve(tenant, wanted).await
    }

    /// The same, held while something is done: for `?` in a handler. [`keep`](ReservationGuard::keep)
    /// takes it for good, and dropping the guard gives it back. The hold is 60 s, if [`Reserve`] says
    /// nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::NotReserved`] if it is not granted, and those of [`reserve`](Self::reserve).
    pub async fn reserve_guarded(
        &self,
        tenant: Uuid,
        wanted: Reserve,
    ) -> Result<ReservationGuard, Error> {
        let runtime = Handle::try_current().map_err(|_| {
            let message = "a guard gives back in the background, and there is no tokio runtime";
            Error::Refused(Status::failed_precondition(message))
        })?;
        let hold_for = Some(wanted.hold_for.unwrap_or(HOLD));
        let wanted = Reserve { hold_for, ..wanted };
        let reservation = self.core.reserve(tenant, wanted.clone()).await?.demand()?;
        Ok(ReservationGuard::new(self.core.clone(), runtime, tenant, wanted, reservation))
    }

    /// Gives back what a key took: the order failed, the user left. How much that was; 0: nothing was
    /// taken under it, or it was given back before, as where an answer was lost and the library has
    /// asked again.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve), but ALREADY_EXISTS.
    pub async fn release(&self, tenant: Uuid, meter: &str, key: &str) -> Result<i64, Error> {
        self.core.release(tenant, meter, key, false).await
    }

    /// Says which things there are of a level: what is counted and is not there is released, what is
    /// there and is not counted is counted, beyond the limit too. `keys` are all that there are, in any
    /// order and of any number; they go to the server in ranges, one after the other. `as_of` is when
    /// they were read, at the latest: what was counted or released after that stays as it is.
    ///
    /// # Errors
    ///
    /// Those of [`release`](Self::release), and [`Error::Refused`] with FAILED_PRECONDITION for a
    /// monthly meter. Some ranges may have been put right then; asking again does the rest. Where a key
    /// cannot be one, INVALID_ARGUMENT, and nothing is sent.
    pub async fn reconcile(
        &self,
        tenant: Uuid,
        meter: &str,
        keys: impl IntoIterator<Item = impl Into<String>>,
        as_of: DateTime<Utc>,
    ) -> Result<Reconciled, Error> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        if let Some(bad) = keys.iter().find(|key| !is_key(key)) {
            let message = format!("{bad:?} is no key: 1 to 128 printable ASCII characters");
            return Err(Error::Refused(Status::invalid_argument(message)));
        }
        self.core.reconcile(tenant, meter, keys, timestamp(as_of)).await
    }
}
