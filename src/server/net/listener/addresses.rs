//! The number of connections of each address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// The number of connections of each address. Only addresses that have some are held.
#[derive(Clone, Default)]
pub(super) struct AddressCounts(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// An address has reached its maximum number of connections.
pub(super) struct OneTooMany;

/// A connection from an address, counted while this lives.
pub(super) struct FromAddress(AddressCounts, IpAddr);

impl AddressCounts {
    /// Counts a connection, if there is a limit per address.
    pub(super) fn enter(
        &self,
        address: Option<IpAddr>,
        most: Option<u32>,
    ) -> Result<Option<FromAddress>, OneTooMany> {
        let (Some(address), Some(most)) = (address, most) else { return Ok(None) };
        let mut addresses = self.0.lock();
        let count = addresses.entry(address).or_default();
        if *count >= most {
            return Err(OneTooMany);
        }
        *count += 1;
        Ok(Some(FromAddress(self.clone(), address)))
    }
}

impl Drop for FromAddress {
    fn drop(&mut self) {
        let mut addresses = self.0.0.lock();
        if let Some(count) = addresses.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.1);
            }
        }
    }
}
