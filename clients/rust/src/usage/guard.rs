//! What is held while something is done.

use std::sync::Arc;

use tokio::runtime::Handle;
use tonic::Status;
use uuid::Uuid;

use super::{Reservation, Reserve};
use crate::{Error, core::Core};

/// So much of a limit, held while something is done that is to be counted. [`keep`](Self::keep) takes
/// it for good; dropped before that, it gives it back in the background. If the process dies, or the
/// server cannot be asked, the hold returns by itself.
///
/// What was here before ([`Reservation::is_repeated`]) is not given back: another attempt may have
/// taken it for good since. If it is held only, it returns by itself.
#[derive(Debug)]
#[must_use = "dropping it gives back what it holds"]
pub struct ReservationGuard {
    core: Arc<Core>,
    runtime: Handle,
    tenant: Uuid,
    wanted: Reserve,
    reservation: Reservation,
    is_to_be_given_back: bool,
}

impl ReservationGuard {
    pub(crate) fn new(
        core: Arc<Core>,
        runtime: Handle,
        tenant: Uuid,
        wanted: Reserve,
        reservation: Reservation,
    ) -> Self {
        let is_to_be_given_back = !reservation.repeated;
        Self { core, runtime, tenant, wanted, reservation, is_to_be_given_back }
    }

    /// What is held.
    pub fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    /// Takes it for good. It goes on where whoever waits gives up: what it is for has been done.
    ///
    /// # Errors
    ///
    /// [`Error::NotReserved`] if the hold has run out meanwhile, and there is not enough any more, or
    /// the tenant or the module is denied by now. [`Error::Unavailable`] if the server does not answer:
    /// it may have been taken, so [`reserve`](crate::Entitlements::reserve) the same key later. Nothing
    /// is given back then.
    pub async fn keep(mut self) -> Result<Reservation, Error> {
        self.is_to_be_given_back = false;
        let (core, tenant) = (Arc::clone(&self.core), self.tenant);
        let wanted = self.wanted.clone().for_good();
        let kept = self.runtime.spawn(async move { core.reserve_at_once(tenant, wanted).await });
        let kept =
            kept.await.map_err(|error| Error::Unavailable(Status::unknown(error.to_string())));
        kept??.demand()
    }
}

impl Drop for ReservationGuard {
    fn drop(&mut self) {
        if !self.is_to_be_given_back {
            return;
        }
        let (core, tenant) = (Arc::clone(&self.core), self.tenant);
        let Reserve { meter, key, .. } = self.wanted.clone();
        self.runtime.spawn(async move {
            // Another attempt with this key may have taken it for good meanwhile.
            if let Err(error) = core.release(tenant, &meter, &key, true).await {
                tracing::debug!(%meter, %key, "a hold was not given back, and returns by itself: {error}");
            }
        });
    }
}

impl Reservation {
    /// The reservation, if it is granted.
    pub(crate) fn demand(self) -> Result<Self, Error> {
        if self.granted { Ok(self) } else { Err(Error::NotReserved(self.into())) }
    }
}
